"""Trouble on demand: what the stand-in does wrong, when told to."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_NUMBERS = {
    "status": int,
    "count": int,
    "delay_ms": (int, float),
    "probability": (int, float),
    "seed": int,
    "min_inputs": int,
}
_TEXTS = ("body", "guid")
_BOOLEANS = ("drop", "after")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble, for the next `count` requests that it fits, or for all until it is removed.

    With `status` it answers that, with `body` and `headers`; with `drop` it cuts the connection without
    an answer; `delay_ms` comes first. `guid` limits it to requests about one lead, `min_inputs` to batches
    of at least so many, `probability` (with `seed`) to a share of them. With `after` the request has its
    effect first: only the answer is spoilt.
    """

    status: int | None = None
    count: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_ms: float = 0
    drop: bool = False
    after: bool = False
    guid: str | None = None
    min_inputs: int = 0
    probability: float = 1.0
    seed: int | None = None


def read_fault(content: Mapping[str, Any]) -> Fault:
    """The fault that a control call describes. Raises ValueError with what is wrong."""
    known = list(Fault.__dataclass_fields__)
    unknown = [name for name in content if name not in known]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    for name, value in content.items():
        if not _fits(name, value):
            raise ValueError(f"{name} cannot be {value!r}")
    fault = Fault(**content)
    if not (fault.status or fault.drop or fault.delay_ms):
        raise ValueError("expected status, drop or delay_ms")
    return fault


def _fits(name: str, value: Any) -> bool:
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _BOOLEANS:
        return isinstance(value, bool)
    if name == "headers":
        return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if isinstance(value, bool) or not isinstance(value, _NUMBERS[name]):  # type: ignore[arg-type]
        return False
    limits = {"status": (200, 599), "probability": (0, 1), "count": (1, 10**9), "delay_ms": (0, 600_000)}
    low, high = limits.get(name, (value, value))
    return bool(low <= value <= high)


class Faults:
    """The faults in force. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[_Active] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force, behind those that are."""
        with self._lock:
            self._active.append(_Active(fault, fault.count, random.Random(fault.seed)))  # noqa: S311 - no secret

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._active.clear()

    def describe(self) -> list[dict[str, Any]]:
        """The faults in force; `count` tells how many requests each will still hit."""
        with self._lock:
            return [{**asdict(active.fault), "count": active.left} for active in self._active]

    def take(self, guid: str | None, inputs: int = 0) -> list[Fault]:
        """The faults that hit this request: delays, up to the first that decides the answer."""
        if not self._active:
            return []
        with self._lock:
            hit = []
            for active in list(self._active):
                if not active.hits(guid, inputs):
                    continue
                hit.append(active.fault)
                if active.left == 0:
                    self._active.remove(active)
                if active.fault.status or active.fault.drop:
                    break
            return hit


@dataclass(slots=True, eq=False)
class _Active:
    fault: Fault
    left: int | None
    chance: random.Random

    def hits(self, guid: str | None, inputs: int) -> bool:
        if inputs < self.fault.min_inputs:
            return False
        if self.fault.guid is not None and self.fault.guid != guid:
            return False
        if self.fault.probability < 1 and self.chance.random() >= self.fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True
