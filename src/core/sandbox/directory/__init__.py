"""The pretend directory: its objects and where they are kept."""
