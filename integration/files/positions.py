"""Positions in a file that people edit, and the problems found there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from integration.core.errors import Problem

Key = str | int


@dataclass(frozen=True, slots=True)
class Spot:
    """A position in a file; `spot / key` is the one below it. Problems are collected, not raised."""

    shown_as: str
    line_of: Callable[[tuple[Key, ...]], int]
    problems: list[Problem] = field(default_factory=list)
    path: tuple[Key, ...] = ()

    def __truediv__(self, key: Key) -> Spot:
        return Spot(self.shown_as, self.line_of, self.problems, (*self.path, key))

    def at(self, path: tuple[Key, ...]) -> Spot:
        """The position at a path below this one."""
        return Spot(self.shown_as, self.line_of, self.problems, (*self.path, *path))

    def collecting(self, problems: list[Problem]) -> Spot:
        """The same position, with its problems in another list."""
        return Spot(self.shown_as, self.line_of, problems, self.path)

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


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems of one file by their lines, each once; those of the whole file first."""
    return tuple(sorted(dict.fromkeys(problems), key=_line))


def _line(problem: Problem) -> int:
    line = problem.place.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'events'?`, or "" when nothing known is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
