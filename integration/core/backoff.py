"""Trying again: how long to wait after a failure, when to give up, and what the other side asks for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from integration.core.values import MICROS_PER_SECOND, Micros

MAX_RETRY_AFTER = 24 * 60 * 60.0  # seconds; whoever asks for more is asked again after a day
_MOST_DOUBLINGS = 30  # beyond that no wait grows, and no power of two gets absurd


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` to `longest` seconds; after `give_up` seconds of failures it is over.

    `jitter` is the part of a wait that chance decides, from 0 (none) to 1 (all of it): many that failed
    together do not come again together. `give_up` None: never.
    """

    first: float
    longest: float
    give_up: float | None = None
    jitter: float = 0.0

    def seconds(self, failures: int, *, retry_after: float | None = None, chance: float = 1.0) -> float:
        """The wait after so many earlier failures in a row, never shorter than the other side asks for.

        `chance` is a random number from 0 to 1.
        """
        whole = min(self.first * 2.0 ** min(failures, _MOST_DOUBLINGS), self.longest)
        return max(whole * (1 - self.jitter + self.jitter * chance), retry_after or 0.0)

    def micros(self, failures: int, *, retry_after: float | None = None, chance: float = 1.0) -> Micros:
        """The same wait in microseconds."""
        return int(self.seconds(failures, retry_after=retry_after, chance=chance) * MICROS_PER_SECOND)

    def gives_up(self, since: Micros, now: Micros) -> bool:
        """Whether it has failed since `since` for longer than it is worth trying."""
        return self.give_up is not None and now - since > self.give_up * MICROS_PER_SECOND

    @property
    def give_up_days(self) -> str:
        """For a sentence; "" if it never gives up."""
        return "" if self.give_up is None else f"{self.give_up / 86400:g}"


def read_retry_after(value: str | None, at: Micros) -> float | None:
    """The seconds that a Retry-After header asks to wait from `at`, at most a day; None if it says nothing.

    Reads seconds, fractions of them too, and HTTP dates (RFC 9110, 10.2.3). urllib3's reader knows no
    fractions and asks the machine for the time.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,300}(\.[0-9]{1,12})?", text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - at / MICROS_PER_SECOND
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
