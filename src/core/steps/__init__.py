"""What a flow looks at and changes, step by step; one package per subject."""
