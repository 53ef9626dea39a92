"""Jobs that write into labels, and what asks for them."""
