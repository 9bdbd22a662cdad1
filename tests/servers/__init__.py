"""Real servers for tests: each run starts its own and leaves nothing behind."""
