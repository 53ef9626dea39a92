"""What the plugin needs of a model and its sessions."""
