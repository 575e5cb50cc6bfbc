"""How numbers, times, values and leads are told to people: in the same words on every screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from integration.core.values import MICROS_PER_SECOND, Micros

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_LONGEST_AGO = 14 * _DAY
# Times that HubSpot takes are epoch milliseconds as text: 13 digits, 2001 to 2039. No phone number with its
# country code has that form (13 digits that begin with 1 or 20 are in no country's plan, 2026-11).
_EARLIEST_MILLIS, _LATEST_MILLIS = 1_000_000_000_000, 2_200_000_000_000
_NAMED_FIRST = ("email", "guid", "contact_id")


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 problem`, `2 problems`."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shown_time(micros: Micros | None) -> str:
    """`2026-11-23 15:49:41`, in UTC; "-" where there is none."""
    return "-" if micros is None else _moment(micros).strftime("%Y-%m-%d %H:%M:%S")


def exact_time(micros: Micros | None) -> str | None:
    """`2026-11-23T15:49:41.123456Z`, for programs."""
    return None if micros is None else _moment(micros).isoformat().replace("+00:00", "Z")


def ago(at: Micros, now: Micros) -> str:
    """`12 s ago`, `3 minutes ago`, `in 5 hours`; the time itself (UTC) where it is weeks away."""
    seconds = (now - at) / MICROS_PER_SECOND
    if abs(seconds) >= _LONGEST_AGO:
        return shown_time(at)[: len("2026-11-23 15:49")]
    if abs(seconds) < 1:
        return "now"
    span = _rounded(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def when(at: Micros, now: Micros) -> str:
    """`3 minutes ago (2026-11-23 15:49:41 UTC)`: where there is room for both."""
    exact, words = f"{shown_time(at)} UTC", ago(at, now)
    return exact if exact.startswith(words) else f"{words} ({exact})"


def shown_span(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h 20 min`, `2 d 4 h`."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def shown_value(value: object) -> str:
    """A field's value as it stands in the JSON body: `"paid"`, `10.99`, `true`, `null`."""
    return json.dumps(value, ensure_ascii=False)


def told_value(value: object) -> str:
    """A field's value for people: as `shown_value`, and what is a time for HubSpot as a time (UTC)."""
    if isinstance(value, str) and _is_millis(value):
        return shown_time(int(value) * 1000)
    return shown_value(value)


def name_of(identifiers: Mapping[str, str]) -> str:
    """What a lead is called: its email, guid or contact id, else the first of the others as `kind=value`.

    `leadwire leads show` finds the lead by it. "" where nothing is known.
    """
    for kind in _NAMED_FIRST:
        if kind in identifiers:
            return identifiers[kind]
    return next((f"{kind}={value}" for kind, value in identifiers.items()), "")


def _rounded(seconds: float) -> str:
    for size, word in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {word}"
    return f"{seconds:.0f} s"


def _is_millis(digits: str) -> bool:
    if len(digits) != 13 or not (digits.isascii() and digits.isdecimal()):
        return False
    return _EARLIEST_MILLIS <= int(digits) <= _LATEST_MILLIS


def _moment(micros: Micros) -> datetime:
    return datetime.fromtimestamp(micros / MICROS_PER_SECOND, UTC)
