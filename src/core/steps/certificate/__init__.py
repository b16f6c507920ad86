"""This machine's key and certificate."""
