"""The Automatic dock without its widgets."""
