"""The command line, one part at a time."""
