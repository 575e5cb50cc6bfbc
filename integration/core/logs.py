"""Logs: a line per state edge, with a stable `action`. JSON lines, or plain text on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_FIELDS = "leadwire_fields"


def log_action(
    logger: logging.Logger, action: str, message: str, level: int = logging.INFO, /, **fields: object
) -> None:
    """One line: `action` is for machines and never changes, `message` is for people, `fields` are its facts.

    Field names used everywhere: `id` (the request's id, the correlation from request to attempt), `source`,
    `event`, `lead`, `cause`.
    """
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={_FIELDS: {"action": action, **fields}})


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of `log_action`."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": _timestamp(record),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TerminalFormatter(logging.Formatter):
    """For eyes: time, level where it is not INFO, message, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        facts = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = f"{_timestamp(record)[11:23]} {level}{record.getMessage()}" + (f"  [{facts}]" if facts else "")
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard error) in the form that suits it."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(TerminalFormatter() if target.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # No line shows these, and collecting them took a third of a line's time, walking the stack for the caller
    # most of all (https://docs.python.org/3/howto/logging.html#optimization).
    # The process's id stays: gunicorn's own lines show it.
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - the documented switch
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, _FIELDS, {})


def _timestamp(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
