"""Everything seen of the cloud: HTTP, Microsoft Graph, tokens, certificates and credentials."""
