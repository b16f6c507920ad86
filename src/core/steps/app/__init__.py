"""The app registration: found, made, and who else can act as it."""
