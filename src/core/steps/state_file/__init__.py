"""The state file: its backup, what is recorded, and the purge."""
