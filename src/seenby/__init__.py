"""seenby: tells senders, durably and within milliseconds, that their message was read."""

__version__ = "0.1.0"
