"""Times on the command line: dates and times as in ISO 8601, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from integration.clock import now
from integration.records import MICROS_PER_SECOND, Micros

_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class MomentType(click.ParamType):
    """`2026-11-23`, `2026-11-23T15:00`, with any offset (UTC without one), or `30m`, `2h`, `3d` ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Micros:
        """See `click.ParamType.convert`; gives microseconds."""
        if isinstance(value, int):
            return value
        if ago := _AGO.fullmatch(value):
            span = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return now() - int(span.total_seconds()) * MICROS_PER_SECOND
        try:
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            micros = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            micros = -1
        if micros < 0:
            self.fail(f"{value!r} is no time: write 2026-11-23, 2026-11-23T15:00Z, or 2h (ago)", param, ctx)
        return micros


MOMENT = MomentType()
