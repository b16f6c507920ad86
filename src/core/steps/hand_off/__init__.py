"""What an administrator is asked to do."""
