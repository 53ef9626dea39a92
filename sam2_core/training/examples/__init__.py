"""What is learned from: crops, clips and windows, and prompts in them."""
