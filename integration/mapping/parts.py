"""The compiled parts of a mapping, each with its place (`file:line`) and path (`rules[0].set.plan`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from integration.core.values import Wire, WriteRule
from integration.mapping.assignments import Value
from integration.mapping.conditions import Condition
from integration.mapping.paths import Path


@dataclass(frozen=True, slots=True)
class Part:
    """A compiled value spec that is not a field's: an event key or an identifier. `name` as in the file."""

    name: str
    value: Value
    place: str


@dataclass(frozen=True, slots=True)
class EventKeys:
    """What stands under `event:`. `repeats`: the same content again is another event."""

    type: Part
    id: Part | None
    time: Part | None
    each: Path | None
    place: str
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class LeadKey:
    """One way under `lead:` to know the lead; `kind` as in `records.Identifier`."""

    kind: str
    part: Part


@dataclass(frozen=True, slots=True)
class FieldSetter:
    """One entry under a rule's `set:`. `constants` are the values that the file itself may give the field."""

    field: str
    write: WriteRule
    part: Part
    constants: tuple[Wire, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry under `rules:`. `applies_to` tells whether one of its `events` fits an event type."""

    name: str
    events: tuple[str, ...]
    applies_to: Callable[[str], bool]
    when: Condition | None
    sets: tuple[FieldSetter, ...]
    place: str
    path: str
