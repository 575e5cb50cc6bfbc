"""Alerts about files with mistakes: the last good version goes on, and somebody must know."""

from __future__ import annotations

from collections.abc import Callable

from integration.config.sources import Mistake, Sources
from integration.operate.alerts import Alerts, harmless


class MappingAlerts:
    """Tells of files that this process does not use as they are, and when they are good again."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._told: set[str] = set()

    def step(self, alerts: Alerts, stopping: Callable[[], bool]) -> None:
        """Look once. Returns early, between two messages, when `stopping` says so."""
        mistakes = self._sources.current.mistakes
        for name in sorted(mistakes.keys() | self._told):
            if stopping():
                return
            mistake = mistakes.get(name)
            alerts.tell_state(f"mapping/{name}", _message(mistake) if mistake else None)
            self._told = (self._told | {name}) if mistake else (self._told - {name})


def _message(mistake: Mistake) -> dict[str, object]:
    first = mistake.problems[0]
    cure = f"{first.cure or 'correct it'}; `leadwire check` has all"
    text = (
        f"Leadwire: {first.place} has a mistake and is not used as it is: {harmless(first.message)}."
        f" {mistake.goes_on} What to do: {harmless(cure)}. See: leadwire check"
    )
    return {
        "text": text,
        "alert": "mapping_refused",
        "source": mistake.name,
        "detail": str(first),
        "problems": len(mistake.problems),
        "cure": cure,
        "command": "leadwire check",
    }
