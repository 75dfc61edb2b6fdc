"""Logging: for people on a terminal, as JSON elsewhere. What must not be logged has no way in.

An exception's text may quote a row, a token or a message; its type and where it happened never do, so only those are kept.
"""

import logging
import sys
import traceback
from typing import Any, TextIO

import structlog

from messenger.config import Config


def set_up(config: Config, stream: TextIO = sys.stderr) -> None:
    """Everything that logs, ours and the libraries', goes to `stream` in one format."""
    console = config.log_format == "console" or (not config.log_format and stream.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _quiet_exception,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if console else structlog.processors.JSONRenderer()
    )
    level = logging.getLevelNamesMapping()[config.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer))
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)


def _quiet_exception(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """The stack and the types of an exception and its causes, without their texts."""
    told = event.pop("exc_info", None)
    error = sys.exc_info()[1] if told is True else told[1] if isinstance(told, tuple) else told
    if isinstance(error, BaseException):
        event["exception"] = _stack(error)
    return event


def _stack(error: BaseException) -> str:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{_stack(cause)}\nthen\n" if cause is not None else ""
    state = getattr(error, "sqlstate", None)
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__name__}{f' {state}' if isinstance(state, str) else ''}"
