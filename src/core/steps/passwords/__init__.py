"""Password credentials: deleted, and the two that are made on purpose."""
