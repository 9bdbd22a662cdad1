"""Tests of seenby. They mirror the source; real servers are in tests.servers."""
