"""The log of every command."""

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.typing import Processor


def set_up_log(level: str, log_format: str = "auto") -> None:
    """One event a line on standard error, an exception's traceback in the same line.

    `log_format`: `json`, an object a line; `text`, `name=value`; `auto`, text, in colour on a terminal.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *_renderers(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _renderers(log_format: str) -> Sequence[Processor]:
    if log_format == "json":
        return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str))
    if log_format == "auto" and sys.stderr.isatty():
        return (structlog.dev.ConsoleRenderer(),)
    return (structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer())
