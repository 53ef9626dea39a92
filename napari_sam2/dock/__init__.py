"""What the Segment dock does with the controller, without its widgets."""
