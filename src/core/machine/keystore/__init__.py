"""The system's keystore: the gate, the store, and why one is refused."""
