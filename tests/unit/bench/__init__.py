"""The load generator, one part at a time."""
