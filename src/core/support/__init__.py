"""What helps to find out what happened, and what is wrong."""
