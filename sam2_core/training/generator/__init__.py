"""Made-up images and stacks with exact labels."""
