"""Kinds of stacks, each as a row of frames."""
