"""What is run, as data: the lines of each session. No torch."""
