"""The checks of a diagnosis, a module for each group that is shown together (D1)."""
