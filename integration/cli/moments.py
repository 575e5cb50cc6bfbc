"""Times on the command line: dates and times as in ISO 8601, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from integration.core.clock import now
from integration.core.values import MICROS_PER_SECOND, Micros

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str) -> Micros:
    """`2026-11-23`, `2026-11-23T15:00` with any offset (UTC without one), or `30m`, `2h`, `3d`, `1w` ago.

    Raises click.BadParameter.
    """
    try:
        micros = _micros(text)
    except (ValueError, OverflowError):
        micros = -1
    if micros < 0:
        raise click.BadParameter(f"{text!r} is not a time: write 2026-11-23, 2026-11-23T15:00Z, or 2h (ago)")
    return micros


def _micros(text: str) -> Micros:
    if ago := _AGO.fullmatch(text):
        span = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return now() - int(span.total_seconds()) * MICROS_PER_SECOND
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
