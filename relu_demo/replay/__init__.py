"""Runs a session line by line and records every tensor after each."""
