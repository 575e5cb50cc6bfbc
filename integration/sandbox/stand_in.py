"""The memory of the stand-in: leads, the requests it saw, and the rate limit's sliding window."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from integration.core.clock import Clock
from integration.core.settings import RateLimit
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.sandbox.contact_store import ContactBook, Property
from integration.sandbox.faults import Faults
from integration.sandbox.lead_store import Lead, new_lead
from integration.sandbox.oauth_api import Grants

KEPT_REQUESTS = 100_000
_OBSERVED_SECONDS = 10.0


class Window:
    """Counts requests in a sliding window and says which are too many.

    A request is let through when fewer than the limit were let through in the `seconds` before it.
    `most` is the largest number of requests, let through or not, that any window held.
    """

    def __init__(self, limit: RateLimit | None) -> None:
        self._limit = limit
        self._length = (limit.seconds if limit else _OBSERVED_SECONDS) * MICROS_PER_SECOND
        self._seen: deque[Micros] = deque()
        self._passed: deque[Micros] = deque()
        self.total = self.most = self.refused = 0

    def arrive(self, at: Micros) -> float | None:
        """Count a request; None lets it through, else the seconds after which one more would be."""
        self.total += 1
        self._enter(self._seen, at)
        self.most = max(self.most, len(self._seen))
        if self._limit is None:
            return None
        self._leave(self._passed, at)
        if len(self._passed) >= self._limit.requests:
            self.refused += 1
            return (self._passed[0] + self._length - at) / MICROS_PER_SECOND
        self._passed.append(at)
        return None

    def left(self, at: Micros) -> int:
        """How many more requests would be let through now."""
        self._leave(self._passed, at)
        return max(0, (self._limit.requests if self._limit else 0) - len(self._passed))

    def _enter(self, times: deque[Micros], at: Micros) -> None:
        self._leave(times, at)
        times.append(at)

    def _leave(self, times: deque[Micros], at: Micros) -> None:
        while times and times[0] <= at - self._length:
            times.popleft()


class Portal:
    """One HubSpot account. Every method is safe to call from several threads."""

    def __init__(
        self, rate_limit: RateLimit | None, clock: Clock, properties: Sequence[Property] = ()
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.rate_limit = rate_limit
        self.faults = Faults()
        self.book = ContactBook(clock, properties)
        self.grants = Grants(clock)
        self._start()

    def _start(self) -> None:
        self._leads: dict[str, Lead] = {}
        self._requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self._recorded = 0
        self._window = Window(self.rate_limit)

    def reset(self) -> None:
        """Forget everything."""
        self.faults.clear()
        self.book.reset()
        self.grants.reset()
        with self._lock:
            self._start()

    def now_ms(self) -> int:
        """The present, in milliseconds since 1970."""
        return self._clock() // 1000

    def seed(self, guid: str, fields: Mapping[str, Any]) -> Lead:
        """Put a lead in place, instead of one with the same guid. Raises RefusedError."""
        with self._lock:
            lead = new_lead(guid, len(self._leads) + 1, self.now_ms(), fields)
            self._leads[guid] = lead
            return lead

    def lead(self, guid: str) -> Lead | None:
        """The lead, or None. It must not be changed in place."""
        return self._leads.get(guid)

    def leads(self) -> list[Lead]:
        """All leads, the oldest first. They must not be changed in place."""
        with self._lock:
            return list(self._leads.values())

    def change(self, guid: str, change: Callable[[Lead], Lead]) -> bool:
        """Replace a lead by what `change` makes of it; False if there is none. Passes on what it raises."""
        with self._lock:
            if guid not in self._leads:
                return False
            self._leads[guid] = change(self._leads[guid])
            return True

    def arrive(self) -> tuple[Micros, int | None]:
        """Count a request: when it came, and None, or the whole seconds to wait if it is too many."""
        with self._lock:
            at = self._clock()
            wait = self._window.arrive(at)
        return at, None if wait is None else max(1, math.ceil(wait))

    def limit_headers(self) -> dict[str, str]:
        """The rate-limit headers of an answer; none without a limit."""
        limit = self.rate_limit
        if limit is None:
            return {}
        with self._lock:
            left = self._window.left(self._clock())
        return {
            "X-HubSpot-RateLimit-Max": str(limit.requests),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(limit.seconds * 1000)),
        }

    def record(self, entry: dict[str, Any]) -> None:
        """Keep a request; it gets the next number `n`, from 1."""
        with self._lock:
            self._recorded += 1
            self._requests.append({"n": self._recorded, **entry})

    def requests(self, since: int) -> list[dict[str, Any]]:
        """The kept requests with a number above `since`, in the order in which they were answered."""
        with self._lock:
            gone = self._recorded - len(self._requests)
            return list(islice(self._requests, max(0, since - gone), None))

    def stats(self) -> dict[str, Any]:
        """Requests seen, the most in any window, how many were too many (429), and the limit."""
        with self._lock:
            window = self._window
            return {
                "requests": window.total,
                "most_in_a_window": window.most,
                "refused": window.refused,
                "rate_limit": str(self.rate_limit) if self.rate_limit else None,
            }
