"""Training of the bundled model: data, losses, loop and evaluation."""
