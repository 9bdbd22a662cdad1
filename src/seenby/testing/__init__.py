"""Public fakes: a store and a bus that fail on demand, a feed driven by hand, a still clock.

They keep the promises of the ports they stand for, so a test of seenby, or of something built
around it, breaks one thing at a time.
"""

from __future__ import annotations

from seenby.testing.bus import FailingPublisher, HandFeed
from seenby.testing.clock import ManualClock
from seenby.testing.source import MemorySource
from seenby.testing.store import FailingStore

__all__ = ["FailingPublisher", "FailingStore", "HandFeed", "ManualClock", "MemorySource"]
