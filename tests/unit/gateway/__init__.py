"""The gateway, one part at a time."""
