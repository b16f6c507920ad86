"""Steps in order: one module per flow, and what stands in the way of one."""
