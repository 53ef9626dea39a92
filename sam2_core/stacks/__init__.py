"""Objects from frame to frame: what a session consists of."""
