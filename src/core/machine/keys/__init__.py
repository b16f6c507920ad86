"""What can hold a private key."""
