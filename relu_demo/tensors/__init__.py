"""Facts of a tensor: its storage, the region it covers, the graph behind it."""
