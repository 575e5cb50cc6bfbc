"""Alerts about files with mistakes: the last good version goes on, and somebody must know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from integration.config.sources import Mistake, Sources
from integration.core.values import Micros
from integration.operate.alerts import Alerts, Condition, Message, harmless


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
            ended = partial(_ended, name)
            raised = partial(_raised, mistake) if mistake else ended
            condition = Condition(mistake is not None, raised, ended)
            alerts.tell_lasting(f"mapping/{name}", partial(_as_it_is, condition))
            self._told = (self._told | {name}) if mistake else (self._told - {name})


def _as_it_is(condition: Condition, *_: object) -> Condition:
    return condition


def _ended(name: str, _: Micros) -> Message:
    text = f"Leadwire: the file of {name} has no mistake any more, and is used as it is."
    return {"text": text, "alert": "mapping_fixed", "source": name, "command": "leadwire sources"}


def _raised(mistake: Mistake, _: Micros) -> Message:
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
