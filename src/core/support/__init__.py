"""What helps to find out what happened."""
