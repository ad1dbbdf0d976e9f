"""What this computer and this PyTorch are: devices, free memory, terminal, threads."""
