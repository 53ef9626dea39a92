"""What everything mode consists of."""
