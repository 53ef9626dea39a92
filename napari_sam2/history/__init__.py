"""What was done, in order: to undo it, to tell it, to do it again."""
