"""One object seen at its own scale, by the bundled model."""
