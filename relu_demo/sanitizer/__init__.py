"""What autograd saves, what is read and what is written, by storage, region and line, in any code."""
