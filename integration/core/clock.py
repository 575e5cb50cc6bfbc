"""Time and ids, as the world gives them (`core/world.py`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from integration.core.values import Micros
from integration.core.world import world

Clock = Callable[[], Micros]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_DIGITS = 10
_RANDOM_DIGITS = 16


def now() -> Micros:
    """The present, in microseconds since 1970-01-01T00:00:00Z."""
    return world().now()


def elapsed() -> float:
    """Seconds since some moment: a clock that never goes back, for spans of time."""
    return world().elapsed()


def new_id(at: Micros) -> str:
    """A ULID (26 characters, https://github.com/ulid/spec): sorts by time, unique without asking anyone."""
    chosen = int.from_bytes(world().random_bytes(10))
    return _digits(at // 1000, _TIME_DIGITS) + _digits(chosen, _RANDOM_DIGITS)


def ids_at(at: Micros) -> Callable[[], str]:
    """Makes ids of one instant, each greater than the one before: they sort in the order in which they are
    made.
    """
    # The first bit stays free, so that counting never needs another digit.
    number = count(int.from_bytes(world().random_bytes(10)) >> 1)
    time_digits = _digits(at // 1000, _TIME_DIGITS)
    return lambda: time_digits + _digits(next(number), _RANDOM_DIGITS)


def first_id_at(at: Micros) -> str:
    """The smallest id that an instant can have: a bound for queries by time."""
    return _digits(at // 1000, _TIME_DIGITS) + "0" * _RANDOM_DIGITS


def _digits(number: int, count: int) -> str:
    return "".join([_CROCKFORD[(number >> shift) & 31] for shift in range(5 * (count - 1), -1, -5)])
