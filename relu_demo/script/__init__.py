"""The user's own program: what a target names, and how it is run as Python itself would run it."""
