"""How long to wait before the next try."""

from __future__ import annotations

from integration.core.values import MICROS_PER_SECOND, Micros

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 3600.0


def retry_delay(
    attempts_before: int, retry_after: float | None, jitter: float, first: float = FIRST_RETRY_SECONDS
) -> Micros:
    """Exponential with full jitter on the upper half, never sooner than HubSpot asks for."""
    longest = min(first * 2.0 ** min(attempts_before, 30), LONGEST_RETRY_SECONDS)
    seconds = max(longest * (0.5 + jitter / 2), retry_after or 0.0)
    return int(seconds * MICROS_PER_SECOND)
