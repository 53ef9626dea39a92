"""Sessions on disk: saved, found again, restored."""
