"""Objects from frame to frame, and what is worth a look there."""
