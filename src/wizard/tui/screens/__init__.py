"""What a person sees, a screen a module; they call no Graph, az or keystore."""
