"""What a model is asked in use, kept to learn from; see :mod:`.asked`."""
