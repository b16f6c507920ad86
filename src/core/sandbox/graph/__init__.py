"""Microsoft Graph of the pretend world."""
