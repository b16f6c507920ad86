"""Everything seen of this computer: programs, Azure CLI, keystore, files and folders."""
