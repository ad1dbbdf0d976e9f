"""Bytes really allocated, in place and out of place."""
