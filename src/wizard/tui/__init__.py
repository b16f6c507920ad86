"""The wizard in a terminal (Textual)."""
