"""The user interfaces. `core` does the work; these modules show it and ask."""
