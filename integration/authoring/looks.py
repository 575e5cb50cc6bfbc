"""What a value of a payload looks like: a time and how it is written, an amount, a currency. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from integration.authoring.leaves import Leaf, words
from integration.mapping.currencies import EXPONENTS

_LONGEST_TEXT = 500
_NUMBER = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_SECONDS = (3e8, 5e9)  # 1979 to 2128
_MILLIS = (3e11, 5e12)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.{0,30}")
_FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S UTC", "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
)  # fmt: skip
_HUNDREDTHS = {"cents", "cent", "minor", "pence", "pennies"}

Reading = tuple[Any, str]


def time_spec(value: object) -> tuple[Mapping[str, Any], str] | None:
    """How a time is written, as keys of a value spec, and in words; None for what is not a time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return _number_of_time(float(value))
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        return None
    if _ISO.fullmatch(value) and _is_iso(value):
        zone = "" if re.search(r"(Z| ?[+-]\d\d:?\d\d)$", value) else ", without a zone: it is read as UTC"
        return {"as": "iso8601"}, f"a time in ISO 8601{zone}"
    fitting = next((format_ for format_ in _FORMATS if _fits(value, format_)), None)
    return ({"as": "date", "format": fitting}, f"a date written {fitting}") if fitting else None


def _number_of_time(number: float) -> tuple[Mapping[str, Any], str] | None:
    if _SECONDS[0] <= number < _SECONDS[1]:
        return {"as": "unix_seconds"}, f"seconds since 1970 ({_day(number)})"
    if _MILLIS[0] <= number < _MILLIS[1]:
        return {"as": "unix_millis"}, f"milliseconds since 1970 ({_day(number / 1000)})"
    return None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _is_iso(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).year >= 1971
    except ValueError:
        return False


def _fits(text: str, format_: str) -> bool:
    try:
        return datetime.strptime(text, format_).year >= 1971  # noqa: DTZ007 - only whether it can be read
    except ValueError:
        return False


def is_currency(value: object) -> bool:
    """Whether it is the code of a currency, in any case."""
    return isinstance(value, str) and value.upper() in EXPONENTS


def amount_spec(leaf: Leaf, currency: Leaf | None) -> Reading | None:
    """The spec of an amount of money, or of any number, and how it looks; None for what is not a number."""
    value = leaf.value
    if isinstance(value, bool) or not _is_number(value):
        return None
    in_hundredths = bool(set(words(str(leaf.steps[-1]))) & _HUNDREDTHS)
    is_whole = _INTEGER.fullmatch(str(value)) is not None
    if currency is not None and is_whole and (in_hundredths or isinstance(value, int)):
        spec = {"from": leaf.path, "as": "minor_units", "currency": currency.path}
        return spec, "a whole number beside a currency, so it is read as cents"
    if in_hundredths:
        return {"from": leaf.path, "as": "decimal", "scale": 0.01}, "named as one of cents"
    return {"from": leaf.path, "as": "decimal"}, "a number, read as it is"


def _is_number(value: object) -> bool:
    if isinstance(value, int | float):
        return abs(value) < 1e12 and math.isfinite(value)
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None


def field_spec(leaf: Leaf, kind: str) -> Reading | None:
    """The spec that makes a value for a field of this type, and how it looks; None if nothing does."""
    readings = {"text": _text, "integer": _integer, "boolean": _boolean, "time": _time}
    return readings[kind](leaf)


def _text(leaf: Leaf) -> Reading | None:
    value = leaf.value
    if isinstance(value, bool | float):
        return None
    if isinstance(value, int):
        fits = abs(value) < 10**15
        return ({"from": leaf.path, "as": "text"}, "a number with the field's name") if fits else None
    fits = value.strip() != "" and len(value) <= _LONGEST_TEXT and "\0" not in value
    return (leaf.path, "a text with the field's name") if fits else None


def _integer(leaf: Leaf) -> Reading | None:
    value = leaf.value
    is_whole = not isinstance(value, bool | float) and _INTEGER.fullmatch(str(value))
    return (
        ({"from": leaf.path, "as": "integer"}, "a whole number with the field's name") if is_whole else None
    )


def _boolean(leaf: Leaf) -> Reading | None:
    value = leaf.value
    if isinstance(value, bool):
        return leaf.path, "true or false, with the field's name"
    is_word = isinstance(value, str) and value.lower() in ("true", "false")
    return ({"from": leaf.path, "as": "boolean"}, "true or false as text") if is_word else None


def _time(leaf: Leaf) -> Reading | None:
    found = time_spec(leaf.value)
    if found is None:
        return None
    keys, look = found
    return {"from": leaf.path, **keys}, look
