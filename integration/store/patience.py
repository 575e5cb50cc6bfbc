"""Patience: a process whose store is not there, or has no schema yet, waits for it and goes on by itself.

What waiting cannot cure (a password that is refused, an unknown database) ends it: see StoreRefusedError.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TypeVar

from integration.core.clock import elapsed
from integration.core.durations import STORE_RETRY
from integration.core.errors import LeadwireError, StoreUnavailableError
from integration.core.logs import log_action
from integration.core.world import world
from integration.store.engine import StoreRefusedError
from integration.store.schema import SchemaBehindError

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def patiently(
    attempt: Callable[[], Result], stopped: Callable[[float], bool], *, seconds: float = math.inf
) -> Result | None:
    """What `attempt` returns once there is a store with a current schema; None if told to stop meanwhile.

    `stopped` waits for so many seconds, and returns whether to stop, as `threading.Event.wait` does. Raises
    StoreRefusedError at once, and after `seconds` whatever the last attempt failed with.
    """
    deadline, failures, told = elapsed() + seconds, 0, False
    while True:
        try:
            result = attempt()
        except (StoreUnavailableError, SchemaBehindError) as error:
            if isinstance(error, StoreRefusedError) or elapsed() >= deadline:
                raise
            told = told or _tell(error)
        else:
            if told:
                _tell_ready()
            return result
        if stopped(min(STORE_RETRY.seconds(failures), max(deadline - elapsed(), 0.0))):
            return None
        failures += 1


def _tell(error: LeadwireError) -> bool:
    log_action(log, "store.waiting", f"Waits, and goes on by itself: {error}", logging.WARNING)
    return True


def _tell_ready() -> None:
    log_action(log, "store.ready", "The store is there: going on")


class Outage:
    """Tells once that a running process misses the store, and once that all of its parts have it again.

    Safe for many threads.
    """

    def __init__(self) -> None:
        self._lock = world().lock()
        self._missed_by: set[str] = set()

    def missed(self, who: str, error: StoreUnavailableError) -> None:
        """A part of the process found no store."""
        with self._lock:
            is_news = not self._missed_by
            self._missed_by.add(who)
        if is_news:
            _tell(error)

    def done(self, who: str) -> None:
        """A part of the process did what it wanted."""
        with self._lock:
            if who not in self._missed_by:
                return
            self._missed_by.remove(who)
            is_over = not self._missed_by
        if is_over:
            _tell_ready()
