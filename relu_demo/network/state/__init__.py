"""What a network holds and what it is given: found, copied, and put back."""
