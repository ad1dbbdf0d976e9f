"""The sessions: the lines that are run, as data. No torch."""
