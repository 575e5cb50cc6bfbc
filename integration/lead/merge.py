"""How competing values of a lead's fields settle: one pure fold over updates (promise P2).

Per field and write rule one contender is kept, so the state of a lead does not grow with its events.

| write rule | the contender that is kept |
|---|---|
| latest | the newest clock |
| earliest | the oldest clock |
| max, min | the largest or smallest value; of equal ones the oldest clock |
| sum | the exact decimal total |
| if_empty | the oldest clock |

Under max and min, numbers and texts of digits (times) compare as numbers; other texts compare as text
and stand above all numbers.

Where updates use different write rules for one field, the rule of the newest change governs, and only
changes under that rule count. `if_empty` never governs while there is a contender under another rule:
it fills a field that nobody else sets, whatever came first. So the outcome depends on the set of
updates alone: not on their order, their batches or what was sent in between.

`base` is the value that stood at HubSpot before any event, where it is known. Every change beats it
under latest; unless it is blank, it beats every change under earliest and if_empty, competes under max
and min, and is added to under sum.

None (clear) and "" both mean blank. None competes under latest and earliest like any other value; it
takes no part under the other rules, and a value that is not a number takes no part under sum
(`Catalogue.validate` refuses both before they get here).

Who guarantees that an event counts once: every rule but sum is idempotent by itself. For sum, `merge`
counts an event once within one call, and its caller hands each event over in at most one call (the
store marks an event as merged in the transaction that writes the merged state).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final, get_args

from integration.core.values import FieldChange, Micros, Update, Wire, WriteRule

EventClock = tuple[Micros, str]


class Unknown(Enum):
    """The type of `UNKNOWN`: nothing is known about the value at HubSpot, not even that it is blank."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
AtHubSpot = Wire | Unknown | None

_EXACT = Context(prec=1000)  # more digits than any sum of 64-bit floats between 1e300 and 5e-324 can have
_WHOLE_LIMIT = 2**63
_DIGITS = re.compile(r"-?[0-9]{1,18}")
_WRITE_RULES: tuple[WriteRule, ...] = get_args(WriteRule)
_TAKES_CLEAR = ("latest", "earliest")


@dataclass(frozen=True, slots=True)
class Contender:
    """The best change so far of one field under one write rule, and where it came from.

    Under sum, `value` is the exact total as decimal text and the rest tells of the newest change.
    `newest` is the newest clock of all changes under this rule, whether they won or not.
    """

    value: Wire | None
    clock: EventClock
    newest: EventClock
    event_id: str
    place: str
    mapping_version: str


@dataclass(frozen=True, slots=True)
class FieldState:
    """One field of one lead: its contenders by write rule, and what HubSpot is known to have.

    `base` is HubSpot's value from before any event, `sent` the value it last confirmed.
    """

    contenders: Mapping[WriteRule, Contender] = field(default_factory=dict)
    base: AtHubSpot = UNKNOWN
    sent: AtHubSpot = UNKNOWN

    @property
    def write(self) -> WriteRule | None:
        """The write rule that governs the field; None before the first change."""
        if len(self.contenders) == 1:  # as nearly always
            return next(iter(self.contenders))
        strong = [rule for rule in _WRITE_RULES if rule in self.contenders and rule != "if_empty"]
        return max(strong, key=lambda rule: (self.contenders[rule].newest, rule), default=None)

    @property
    def winner(self) -> Contender | None:
        """The change that settled the value; None where the base stands."""
        rule = self.write
        if rule is None:
            return None
        contender = self.contenders[rule]
        return None if _base_stands(rule, self.base, contender) else contender

    @property
    def value(self) -> Wire | None:
        """The settled value; None is blank."""
        winner = self.winner
        if winner is None:
            return None if isinstance(self.base, Unknown) else self.base
        if self.write == "sum":
            return _wire_number(_add(_number(self.base), Decimal(str(winner.value))))
        return winner.value

    @property
    def clock(self) -> EventClock | None:
        """The clock of the change that settled the value; None where the base stands."""
        winner = self.winner
        return winner.clock if winner else None

    @property
    def event_id(self) -> str:
        """The event that settled the value; "" where the base stands."""
        winner = self.winner
        return winner.event_id if winner else ""

    @property
    def place(self) -> str:
        """The `file:line` of the mapping that settled the value; "" where the base stands."""
        winner = self.winner
        return winner.place if winner else ""

    @property
    def mapping_version(self) -> str:
        """The version of the mapping that settled the value; "" where the base stands."""
        winner = self.winner
        return winner.mapping_version if winner else ""


FieldStates = Mapping[str, FieldState]


def merge(state: FieldStates, updates: Iterable[Update]) -> FieldStates:
    """The state after `updates`: the same in any order and any batches; see the module for the rules.

    Updates with the same `event_id` are one update.
    """
    merged = dict(state.items())  # items: those of a stored record are much faster than its keys
    for update in {update.event_id: update for update in updates}.values():
        for change in update.changes:
            if _takes_part(change):
                merged[change.field] = _with_change(merged.get(change.field, FieldState()), change, update)
    return merged


def join(one: FieldStates, other: FieldStates) -> FieldStates:
    """The state of two leads that turn out to be one: as if all updates of both had been merged into one.

    No update may be in both. What HubSpot has is known only where the two do not contradict each other.
    """
    return {
        name: _joined(one.get(name, FieldState()), other.get(name, FieldState()))
        for name in sorted({*one, *other})
    }


def rebuild(current: FieldStates, archived: FieldStates, updates: Iterable[Update]) -> FieldStates:
    """The state built again: `archived` (what removed updates had come to) and all stored `updates`.

    What HubSpot is known to have is taken from `current`. A field that nothing sets any more stays as it is
    at HubSpot: only `missing: clear` blanks a field.
    """
    known = {name: replace(field_state, contenders={}) for name, field_state in current.items()}
    for name, field_state in archived.items():
        known[name] = replace(known.get(name, FieldState()), contenders=field_state.contenders)
    return merge(known, updates)


def pending(state: FieldStates) -> dict[str, Wire | None]:
    """The fields whose value differs from what HubSpot is known to have: the body of the next request."""
    return dict(_unsent(state))


def has_pending(state: FieldStates) -> bool:
    """Whether there is such a field; without looking further than to the first."""
    return next(_unsent(state), None) is not None


def confirm(state: FieldStates, sent: Mapping[str, Wire | None]) -> FieldStates:
    """The state after HubSpot accepted `sent` (what `pending` gave, perhaps some merges ago)."""
    confirmed = {name: replace(state.get(name, FieldState()), sent=value) for name, value in sent.items()}
    return {**state, **confirmed}


def unread(state: FieldStates) -> tuple[str, ...]:
    """The fields whose value depends on what HubSpot has, which nobody has looked at yet (`if_empty`)."""
    return tuple(
        name
        for name, field_state in state.items()
        if field_state.write == "if_empty" and isinstance(field_state.base, Unknown)
    )


def learn(state: FieldStates, values: Mapping[str, Wire | None]) -> FieldStates:
    """The state once it is known that HubSpot has `values` (None and "" are blank)."""
    learned = {
        name: replace(state.get(name, FieldState()), base=value, sent=value) for name, value in values.items()
    }
    return {**state, **learned}


def before(values: Mapping[str, Wire | None]) -> FieldStates:
    """The state of a lead that has `values` at HubSpot and to which no event has happened yet."""
    return {name: FieldState(base=value, sent=value) for name, value in values.items()}


def same(one: AtHubSpot, other: AtHubSpot) -> bool:
    """Whether two values are the same to HubSpot: 20 and 20.0 are, None and "" are, 1 and True are not.

    Nothing is the same as UNKNOWN.
    """
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return False
    if _is_blank(one) and _is_blank(other):
        return True
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _takes_part(change: FieldChange) -> bool:
    if change.write == "sum":
        return _is_number(change.value)
    return change.value is not None or change.write in _TAKES_CLEAR


def _unsent(state: FieldStates) -> Iterator[tuple[str, Wire | None]]:
    for name, field_state in state.items():
        if _is_settled(field_state) and not same(value := field_state.value, field_state.sent):
            yield name, value


def _joined(one: FieldState, other: FieldState) -> FieldState:
    contenders = dict(one.contenders)
    for rule, contender in other.contenders.items():
        contenders[rule] = _better(rule, contenders[rule], contender) if rule in contenders else contender
    return FieldState(contenders, _agreed(one.base, other.base), _agreed(one.sent, other.sent))


def _agreed(one: AtHubSpot, other: AtHubSpot) -> AtHubSpot:
    if isinstance(one, Unknown):
        return other
    return one if isinstance(other, Unknown) or same(one, other) else UNKNOWN


def _with_change(field_state: FieldState, change: FieldChange, update: Update) -> FieldState:
    value = str(_number(change.value)) if change.write == "sum" else change.value
    new = Contender(value, update.clock, update.clock, update.event_id, change.place, update.mapping_version)
    old = field_state.contenders.get(change.write)
    best = new if old is None else _better(change.write, old, new)
    contenders = {**field_state.contenders, change.write: best}
    return FieldState(contenders, field_state.base, field_state.sent)


def _better(rule: WriteRule, one: Contender, other: Contender) -> Contender:
    best = _BETTER[rule](one, other)
    newest = max(one.newest, other.newest)
    return best if best.newest == newest else replace(best, newest=newest)


def _age(contender: Contender) -> tuple[object, ...]:
    """Orders by clock; what follows only makes the order total, should one event come with two values."""
    return (
        contender.clock,
        contender.event_id,
        contender.mapping_version,
        contender.place,
        repr(contender.value),
    )


def _newest(one: Contender, other: Contender) -> Contender:
    return max(one, other, key=_age)


def _oldest(one: Contender, other: Contender) -> Contender:
    return min(one, other, key=_age)


def _largest(one: Contender, other: Contender) -> Contender:
    if _size(one.value) == _size(other.value):
        return _oldest(one, other)
    return max(one, other, key=lambda contender: _size(contender.value))


def _smallest(one: Contender, other: Contender) -> Contender:
    if _size(one.value) == _size(other.value):
        return _oldest(one, other)
    return min(one, other, key=lambda contender: _size(contender.value))


def _total(one: Contender, other: Contender) -> Contender:
    total = _add(Decimal(str(one.value)), Decimal(str(other.value)))
    return replace(_newest(one, other), value=str(total))


_BETTER: dict[WriteRule, Callable[[Contender, Contender], Contender]] = {
    "latest": _newest,
    "earliest": _oldest,
    "max": _largest,
    "min": _smallest,
    "sum": _total,
    "if_empty": _oldest,
}


def _base_stands(rule: WriteRule, base: AtHubSpot, contender: Contender) -> bool:
    if isinstance(base, Unknown) or _is_blank(base) or rule in ("latest", "sum"):
        return False
    if rule == "max":
        return _size(base) >= _size(contender.value)
    if rule == "min":
        return _size(base) <= _size(contender.value)
    return True


def _size(value: Wire | None) -> tuple[int, Any]:
    """Orders any two values; only values of the same kind ever compare by the second part."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        return (1, value)
    return (0, int(value) if isinstance(value, str) else value)


def _is_settled(field_state: FieldState) -> bool:
    return bool(field_state.contenders) or not isinstance(field_state.base, Unknown)


def _is_blank(value: Wire | None) -> bool:
    return value is None or value == ""


def _is_number(value: AtHubSpot) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: AtHubSpot) -> Decimal:
    return Decimal(repr(value)) if _is_number(value) else Decimal(0)


def _add(one: Decimal, other: Decimal) -> Decimal:
    return _EXACT.normalize(_EXACT.add(one, other))


def _wire_number(number: Decimal) -> int | float:
    whole = number == number.to_integral_value() and abs(number) < _WHOLE_LIMIT
    return int(number) if whole else float(number)
