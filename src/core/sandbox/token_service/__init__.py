"""The sign-in service of the pretend world."""
