"""rigstack: own a GPU computer and use it from anywhere."""

__version__ = "0.1.0"
