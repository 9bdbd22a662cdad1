"""Where log lines go and how they look: standard error, for people or as JSON.

One line per thing that matters, never a token, never a body. What libraries log by Python's own
``logging`` comes out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from seenby.config import Settings


def set_up(settings: Settings) -> None:
    """Send the log lines of this process to standard error, as the settings want them."""
    as_json = (settings.log_format or _format_here()) == "json"
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        # Without the values of variables, which may be tokens.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_the_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    lines.addFilter(_without_quotes)
    root = logging.getLogger()
    root.handlers = [lines]
    # Libraries tell much at info that is of no use to whoever runs seenby.
    root.setLevel(max(level, logging.WARNING))


def _without_quotes(record: logging.LogRecord) -> bool:
    """Take the quotation from what is told of a request that is no HTTP.

    aiohttp shows the line it could not read, and that may hold a token or a body. It is the
    client's fault, too, so neither an error of ours nor worth a traceback.
    """
    if record.name == "aiohttp.server" and record.exc_info and record.exc_info[0] is not None:
        kinds = [kind.__name__ for kind in record.exc_info[0].__mro__]
        if "HttpProcessingError" in kinds:
            record.msg = f"{record.msg}: {kinds[0]}"
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
    return True


def _format_here() -> str:
    return "console" if sys.stderr.isatty() else "json"


def _name_the_library(
    _: object, __: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    record: logging.LogRecord = line["_record"]
    line["library"] = record.name
    return line
