"""What `seenby doctor` looks at: is this place fit to run seenby in, and what is to be done.

Each module looks at one thing and tells findings; ``examination`` has them all, in order. Nothing
is changed by looking, and no password or secret is ever told.
"""

from __future__ import annotations

from seenby.doctor.examination import examine
from seenby.doctor.finding import Finding

__all__ = ["Finding", "examine"]
