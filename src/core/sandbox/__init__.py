"""The pretend world: Entra ID, Microsoft Graph and Azure Resource Manager on loopback."""
