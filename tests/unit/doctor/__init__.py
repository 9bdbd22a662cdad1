"""What `seenby doctor` finds, one check at a time."""
