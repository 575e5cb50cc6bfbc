"""The one error base. Every message says what happened, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

SHORTENED_LENGTH = 80


class LeadwireError(Exception):
    """Base of every error that Leadwire raises on purpose."""


class SettingError(LeadwireError):
    """A setting is missing or cannot be used; the message names it."""


class StoreUnavailableError(LeadwireError):
    """The store cannot be reached or written to; the sender should come back later."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file that a person edits.

    `place` is `file:line` or `file`; `path` is the position inside the document, as
    `rules[0].set.plan`; `message` says what is wrong and `cure` what to write instead.
    """

    place: str
    path: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        subject = f"{self.place}: {self.path}: " if self.path else f"{self.place}: "
        return f"{subject}{self.message}" + (f" ({self.cure})" if self.cure else "")


def shorten(value: object, limit: int = SHORTENED_LENGTH) -> str:
    """The repr of a value from outside, cut to `limit` characters so that an error stays readable."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def describe(value: object) -> str:
    """A value from a payload in words, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _short_number(value)
    if isinstance(value, str):
        return shorten(value)
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"an object with the keys {shorten(', '.join(value))}" if value else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"


def _short_number(value: float | Decimal) -> str:
    if isinstance(value, int) and value.bit_length() > 63:
        return "a number of more than 64 bit"
    return shorten(value) if not isinstance(value, Decimal) else str(value)
