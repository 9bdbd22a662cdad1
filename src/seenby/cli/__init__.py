"""The ``seenby`` command: starts the parts, prepares database and topic, tries things out.

A command prints its result on standard output, and everything else on standard error. It ends
with 0, with 1 when something could not be done, and with 2 when it was asked or set up wrongly.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from seenby.cli.commands import app

__all__ = ["app", "main"]

GC_THRESHOLDS = (50_000, 20, 50)
"""New objects after which the youngest generation is looked through, and how many looks at one
generation bring a look at the next.

Nearly nothing here is part of a cycle. By its defaults the collector walks through what the
imports make while they make it, and in a gateway through each batch of records: a third of the
reading thread's time.
"""


def main() -> None:
    """Run the command line; what goes wrong is said in a sentence, without a traceback."""
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    # Imported here: they take half a second, in which somebody may think better of it.
    from seenby.cli import app  # noqa: PLC0415 -- as above
    from seenby.cli.application import FAILED, MISUSED  # noqa: PLC0415 -- as above
    from seenby.errors import BadInput, ConfigError, SeenbyError  # noqa: PLC0415 -- as above

    try:
        app()
    except SeenbyError as error:
        for line in str(error).splitlines():
            print(f"seenby: {line}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, BadInput | ConfigError) else FAILED)
    except BrokenPipeError:
        # Whoever read has gone (seenby watch | head). Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def __getattr__(name: str) -> Any:
    """The application, once somebody wants it."""
    if name == "app":
        from seenby.cli.commands import app  # noqa: PLC0415 -- see _run

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
