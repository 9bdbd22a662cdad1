"""``python -m seenby``: the same as the ``seenby`` command."""

from seenby.cli import main

main()
