"""Losses, steps, optimiser and loops."""
