"""What the model is shown, and whether the user sees it, too."""
