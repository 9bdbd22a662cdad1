"""Tests of the API without a database or a port of its own."""
