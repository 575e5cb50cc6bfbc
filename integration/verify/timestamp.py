"""Timestamps as senders write them into headers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from integration.core.values import MICROS_PER_SECOND, Micros

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = re.compile(r"[0-9]{1,15}")
_MICROS_PER = {"s": MICROS_PER_SECOND, "ms": 1000}
_ISO_LENGTH = 40


def parse_timestamp(text: str, unit: str) -> Micros | None:
    """The instant of a header's timestamp in `s`, `ms` or `iso` (UTC without a zone); None if unreadable."""
    if unit in _MICROS_PER:
        return int(text) * _MICROS_PER[unit] if _DIGITS.fullmatch(text) else None
    if len(text) > _ISO_LENGTH:
        return None
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (zoned - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def format_timestamp(at: Micros, unit: str) -> str:
    """An instant as a sender would write it; the inverse of `parse_timestamp` to the second or ms."""
    return shown(at) if unit == "iso" else str(at // _MICROS_PER[unit])


def shown(at: Micros) -> str:
    """An instant for people, to the second: 2025-09-27T19:06:40Z."""
    try:
        return (_EPOCH + timedelta(seconds=at // MICROS_PER_SECOND)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{at // MICROS_PER_SECOND} s after 1970"
