"""What `as:` does: a value from a payload becomes text, a number, a boolean or a moment.

A conversion takes the value and the event, and gives `str`, `int`, `bool`, an exact `Decimal`, or a
`Moment`. It raises BadValueError (`wrong_type`) rather than guess. `to_wire` makes of the result what
stands in the request to HubSpot.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Context, Decimal
from typing import Any

from integration.core.errors import LeadwireError, describe
from integration.core.values import EventContext, Micros, Wire
from integration.mapping.currencies import EXPONENTS

Convert = Callable[[Any, EventContext], Any]

EXACT = Context(prec=200)
LONGEST_TIME_TEXT = 100
_TYPE_CURE = "correct the path or `as:` in the mapping, then replay"
_NUMBER = re.compile(r"[+-]?([0-9]{1,100}\.?[0-9]{0,100}|\.[0-9]{1,100})([eE][+-]?[0-9]{1,3})?")
_SPACE_BEFORE_OFFSET = re.compile(r"(?<=[0-9]) (?=[+-][0-9]{2}:?[0-9]{2}\Z)")  # as Ruby writes a time
_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_MICROS = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
_LAST_MICROS = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_TRUE, _FALSE = frozenset({True, "true", "yes", "1"}), frozenset({False, "false", "no", "0"})


class BadValueError(LeadwireError):
    """A value cannot be used: `code` groups (`wrong_type`), the message is for people, `cure` what to do."""

    def __init__(self, code: str, message: str, cure: str) -> None:
        super().__init__(message)
        self.code = code
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time."""

    micros: Micros


def wrong_type(wanted: str, value: object, hint: str = "") -> BadValueError:
    """The error for a value that is not what was wanted."""
    return BadValueError("wrong_type", f"expected {wanted}, found {describe(value)}{hint}", _TYPE_CURE)


def as_it_is(value: Any, _: EventContext) -> Any:
    """Without `as`: text, numbers and booleans pass."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _in_range(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise wrong_type("text, a number or a boolean", value)


def as_text(value: Any, context: EventContext) -> str:
    """`as: text`. Numbers as JSON writes them; booleans as true and false."""
    return text_of(as_it_is(value, context))


def as_integer(value: Any, _: EventContext) -> int:
    """`as: integer`. Whole numbers up to 64 bit, also as text; 20.0 is whole, 20.5 is not."""
    number = _decimal(value, "a whole number")
    if not _is_whole(number):
        raise wrong_type("a whole number", value)
    return _in_range(int(number))


def as_decimal(value: Any, _: EventContext) -> Decimal:
    """`as: decimal`. Numbers, also as text, kept exact."""
    return _decimal(value, "a number")


def as_boolean(value: Any, _: EventContext) -> bool:
    """`as: boolean`. true and false; also 1, 0, and the texts true, false, yes, no, 1, 0 in any case."""
    if isinstance(value, dict | list):
        raise wrong_type("true or false", value)
    word = value.lower() if isinstance(value, str) else value
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise wrong_type("true or false", value)


def as_unix_seconds(value: Any, _: EventContext) -> Moment:
    """`as: unix_seconds`. Seconds since 1970, fractions allowed, also as text."""
    micros = _micros(value, "seconds since 1970", 6)
    if micros is None:
        raise wrong_type("seconds since 1970", value, ", which is after the year 9999; try `as: unix_millis`")
    return Moment(micros)


def as_unix_millis(value: Any, _: EventContext) -> Moment:
    """`as: unix_millis`. Milliseconds since 1970, also as text."""
    micros = _micros(value, "milliseconds since 1970", 3)
    if micros is None:
        raise wrong_type("milliseconds since 1970", value, ", which is after the year 9999")
    return Moment(micros)


def as_iso8601(value: Any, _: EventContext) -> Moment:
    """`as: iso8601`. 2026-11-23T10:00:00.123456789+01:00, also with spaces; without a zone it is UTC."""
    wanted = "a time like 2026-11-23T10:00:00Z"
    if not isinstance(value, str) or len(value) > LONGEST_TIME_TEXT:
        raise wrong_type(wanted, value)
    try:
        return _moment(datetime.fromisoformat(_SPACE_BEFORE_OFFSET.sub("", value)), UTC)
    except (ValueError, OverflowError) as error:
        raise wrong_type(wanted, value) from error


def as_date(format_: str, zone: tzinfo) -> Convert:
    """`as: date` with `format` (strptime) and `zone` (used where the text gives none)."""
    wanted = f"a date like {_EPOCH.strftime(format_)} (format {format_})"

    def convert(value: Any, _: EventContext) -> Moment:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise wrong_type(wanted, value)
        text = text_of(value)
        if len(text) > LONGEST_TIME_TEXT:
            raise wrong_type(wanted, value)
        try:
            return _moment(datetime.strptime(text, format_), zone)  # noqa: DTZ007 - _moment adds the zone
        except (ValueError, OverflowError) as error:
            raise wrong_type(wanted, value) from error

    return convert


def as_minor_units(currency: Callable[[EventContext], Any]) -> Convert:
    """`as: minor_units`: 1999 becomes 19.99 in USD, 1999 in JPY and 1.999 in KWD."""

    def convert(value: Any, context: EventContext) -> Decimal:
        amount = _decimal(value, "an amount in the currency's smallest unit")
        code = currency(context)
        exponent = EXPONENTS.get(code.upper()) if isinstance(code, str) else None
        if exponent is None:
            found = describe(code) if isinstance(code, str | int | float) else "none"
            raise BadValueError(
                "wrong_type",
                f"expected a currency code of ISO 4217 such as USD, found {found}",
                "correct `currency:` in the mapping, then replay",
            )
        return amount.scaleb(-exponent, EXACT)

    return convert


def scaled(factor: Decimal) -> Convert:
    """`scale: 0.01`: multiply a number, exactly."""

    def convert(value: Any, _: EventContext) -> Decimal:
        return EXACT.multiply(_decimal(value, "a number to scale"), factor)

    return convert


def to_wire(value: Any, _: EventContext) -> Wire:
    """What stands in the request to HubSpot. Moments are epoch milliseconds as text."""
    if isinstance(value, Moment):
        return str(value.micros // 1000)
    if isinstance(value, Decimal):
        return _json_number(value)
    if isinstance(value, float) and value.is_integer():
        return _json_number(Decimal(value))
    wire: Wire = value
    return wire


def to_micros(value: Any, _: EventContext) -> Micros:
    """The moment of `event.time`, which keeps its microseconds."""
    micros: Micros = value.micros
    return micros


def text_of(value: Any) -> str:
    """A text, number or boolean as text: 42, 19.99, true. Moments as epoch milliseconds."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Moment):
        return str(value.micros // 1000)
    if isinstance(value, Decimal | float):
        return str(_json_number(Decimal(repr(value)) if isinstance(value, float) else value))
    return str(value)


def number_of(value: object) -> Decimal | None:
    """A number, or a text that is one, as an exact decimal; None for all else."""
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    return value if isinstance(value, Decimal) and value.is_finite() else None


def _decimal(value: Any, wanted: str) -> Decimal:
    number = number_of(value)
    if number is None:
        raise wrong_type(wanted, value)
    return number


def _is_whole(number: Decimal) -> bool:
    in_range = _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER
    return not in_range or number == number.to_integral_value(context=EXACT)


def _in_range(number: int) -> int:
    if _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER:
        return number
    raise wrong_type("a whole number of at most 64 bit", number)


def _json_number(number: Decimal) -> int | float:
    """The shortest JSON number: 20.00 is 20. More digits than a float keeps are rounded to the nearest."""
    if _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER and _is_whole(number):
        return int(number)
    as_float = float(number)
    if math.isinf(as_float):
        raise wrong_type("a number below 1e308", number)
    return as_float


def _micros(value: Any, wanted: str, digits: int) -> Micros | None:
    """The time of a number whose unit is 10^-(6-digits) seconds; None when it is out of range."""
    if isinstance(value, int) and not isinstance(value, bool):
        micros = value * 10**digits if abs(value) <= _LAST_MICROS else _LAST_MICROS + 1
    else:
        number = EXACT.scaleb(_decimal(value, wanted), digits)
        micros = int(number) if abs(number) <= _LAST_MICROS else _LAST_MICROS + 1
    return micros if _FIRST_MICROS <= micros <= _LAST_MICROS else None


def _moment(at: datetime, zone: tzinfo) -> Moment:
    """The point in time; raises OverflowError where its offset puts it before the year 1 or after 9999."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    micros = (at - _EPOCH) // _MICROSECOND
    if not _FIRST_MICROS <= micros <= _LAST_MICROS:
        raise OverflowError("outside of the calendar")
    return Moment(micros)


def _storable(text: str) -> str:
    if "\x00" in text or not (text.isascii() or _is_unicode(text)):
        raise wrong_type("text of Unicode characters other than NUL", text)
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        return False
    return True
