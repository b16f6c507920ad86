"""Renderers for a terminal and for machines."""
