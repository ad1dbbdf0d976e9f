"""The command line: options in, one line on stderr and an exit code out."""
