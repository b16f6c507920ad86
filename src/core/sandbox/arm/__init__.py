"""Azure Resource Manager of the pretend world."""
