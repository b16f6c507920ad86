"""Microsoft's own request examples, replayed against the sandbox and compared with documentation and schema (S2)."""
