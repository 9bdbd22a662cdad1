"""Hypothesis: rules that hold for any order of events, not only for the examples."""
