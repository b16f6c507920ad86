"""What helps a person who is stuck: the diagnosis."""
