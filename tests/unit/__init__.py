"""One part at a time: no server, no socket, no waiting."""
