"""Patience at the start: a process that finds no store, or no schema yet, waits for it and goes on by itself.

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
                log_action(log, "store.ready", "The store is there: going on")
            return result
        if stopped(min(STORE_RETRY.seconds(failures), max(deadline - elapsed(), 0.0))):
            return None
        failures += 1


def _tell(error: LeadwireError) -> bool:
    log_action(log, "store.waiting", f"Waits, and goes on by itself: {error}", logging.WARNING)
    return True
