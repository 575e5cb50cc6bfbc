"""Pauses of all deliveries: how long the next one is, and what ends one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from integration.core.durations import DELIVERY_PAUSE
from integration.core.values import MICROS_PER_SECOND, Attempt, Micros, Outcome
from integration.store.budget import Pause


def next_pause(pauses: int, outcome: Outcome, now: Micros) -> Pause:
    """The pause that follows `pauses` pauses in a row."""
    seconds = outcome.retry_after
    if seconds is None:
        seconds = DELIVERY_PAUSE.seconds(pauses)
    detail = outcome.cause.detail if outcome.cause else ""
    return Pause(now + int(seconds * MICROS_PER_SECOND), pauses + 1, detail)


def ended(pause: Pause, done: Sequence[Attempt]) -> bool:
    """Whether an attempt that began after the pause was over shows that deliveries work again.

    One that was on its way when the pause began shows nothing.
    """
    return any(attempt.outcome.kind == "done" and attempt.started_at >= pause.until for attempt in done)
