"""The watched program as a process of its own: `start` starts it and reads from it, `sitecustomize` runs in it."""
