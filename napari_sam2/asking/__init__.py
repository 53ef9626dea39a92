"""One question to a model, and what comes back."""
