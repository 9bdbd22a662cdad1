"""Measures seenby as real processes: `make bench`. It uses the servers that the tests start."""
