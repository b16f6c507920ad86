"""The sandbox's own page: what it is, what it holds, what it was asked."""
