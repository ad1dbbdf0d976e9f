"""The user's own network: which of its in-place calls are safe, which are not, and why."""
