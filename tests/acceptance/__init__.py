"""Real processes, started as a user starts them, with clients that know the contract only."""
