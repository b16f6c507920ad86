"""The pretend computer: its keystore, its Azure CLI, and what is wrong with it."""
