"""relu-demo: what nn.ReLU(inplace=True) does to a tensor, replayed live in the terminal."""

__version__ = "0.1.0"
