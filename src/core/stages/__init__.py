"""One module per screen that does something."""
