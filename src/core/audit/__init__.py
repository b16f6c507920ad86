"""The audit log: which privileged effects there were, who caused them, and how they ended."""
