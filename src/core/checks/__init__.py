"""What is judged: the diagnosis, and the strict proof of the end state."""
