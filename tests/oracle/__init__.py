"""Brute force: random networks, what in-place truly does to each, and the check held against that."""
