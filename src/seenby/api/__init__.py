"""The HTTP side: marks come in, what was missed is read back."""
