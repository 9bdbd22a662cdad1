"""The ``seenby`` command: starts the parts, prepares database and topic, tries things out.

A command prints its result on standard output, and everything else on standard error. It ends
with 0, with 1 when something could not be done, and with 2 when it was asked or set up wrongly.
"""

from __future__ import annotations

import os
import sys

from seenby.cli import parts  # noqa: F401 -- adds its commands; the order is that of the help

# isort: split
from seenby.cli import databases, doctoring, erasing, trying, watching  # noqa: F401 -- as above
from seenby.cli.application import FAILED, MISUSED, app
from seenby.errors import BadInput, ConfigError, SeenbyError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; what goes wrong is said in a sentence, without a traceback."""
    try:
        app()
    except SeenbyError as error:
        for line in str(error).splitlines():
            print(f"seenby: {line}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, BadInput | ConfigError) else FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read has gone (seenby watch | head). Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
