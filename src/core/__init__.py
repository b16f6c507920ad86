"""The headless core: everything `entraclaw-setup` does, without a user interface."""

__version__ = "0.1.0"
