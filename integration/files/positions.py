"""Positions in a mapping file, and the problems found there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from integration.core.errors import Problem

Key = str | int


@dataclass(frozen=True, slots=True)
class Spot:
    """A position in a mapping file; `spot / key` is the one below it. Problems are collected, not raised."""

    shown_as: str
    line_of: Callable[[tuple[Key, ...]], int]
    problems: list[Problem] = field(default_factory=list)
    path: tuple[Key, ...] = ()

    def __truediv__(self, key: Key) -> Spot:
        return Spot(self.shown_as, self.line_of, self.problems, (*self.path, key))

    @property
    def place(self) -> str:
        """`mappings/stripe/mapping.yaml:14`."""
        return f"{self.shown_as}:{self.line_of(self.path)}"

    @property
    def dotted(self) -> str:
        """`rules[0].set.plan`."""
        return dotted(self.path)

    def report(self, message: str, cure: str = "") -> None:
        """Add a problem at this position."""
        self.problems.append(Problem(self.place, self.dotted, message, cure))


def dotted(path: tuple[Key, ...]) -> str:
    """`("rules", 0, "set", "plan")` as `rules[0].set.plan`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'events'?`, or "" when nothing known is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
