"""The record: one thing that Leadwire keeps in step with HubSpot, its states, and every way it changes. Pure.

Today every record is of the kind lead. A transition is a function here: from a record and what happened to
the record as it is then. The store changes the state of many rows at once where nothing has to be computed (a
claim, a lease that ran out, a person who asks for another try): those edges stand in `docs/design.md` beside
these, each with its letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from integration.core.durations import LEAD_NOT_FOUND, LEAD_RETRY
from integration.core.values import (
    MICROS_PER_SECOND,
    Attempt,
    Cause,
    Find,
    Micros,
    Outcome,
    Update,
    Wire,
    fields_of,
)
from integration.lead.merge import (
    FieldStates,
    confirm,
    has_pending,
    join,
    learn,
    merge,
    pending,
    rebuild,
    same,
    unread,
)

NOT_FOUND_CAUSES = frozenset({"unresolved", "ambiguous_lead", "lead_not_found"})


class RecordState(StrEnum):
    """Whether something is to be sent: nothing, at some time, on its way, or not until a person acts."""

    CLEAN = "clean"
    DUE = "due"
    LEASED = "leased"
    DEAD = "dead"


class Priority(IntEnum):
    """Which due records go first: those that live events changed, before those that a replay changed."""

    LIVE = 0
    REPLAYED = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value that HubSpot did not take for a field, and why."""

    value: Wire | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an account as it is known here.

    `fields`: what its events asked for and what HubSpot has; `archived`: what those updates had come to that
    retention removed. `waiting_since`: when the oldest unsent change came; `attempts`: the failed ones in a
    row, the first at `failing_since`, the last for `cause`. `creates`: HubSpot may create it. `refused`: what
    HubSpot does not take, by field.
    """

    account: str
    id: str
    state: RecordState = RecordState.CLEAN
    fields: FieldStates = field(default_factory=dict)
    archived: FieldStates = field(default_factory=dict)
    due_at: Micros | None = None
    waiting_since: Micros | None = None
    attempts: int = 0
    failing_since: Micros | None = None
    cause: Cause | None = None
    priority: Priority = Priority.LIVE
    creates: bool = False
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    @property
    def unsent(self) -> dict[str, Wire | None]:
        """The fields whose value differs from what HubSpot is known to have."""
        return pending(self.fields)

    @property
    def sendable(self) -> dict[str, Wire | None]:
        """The unsent fields that HubSpot has not refused with this value."""
        refused = self.refused
        return {
            name: value
            for name, value in self.unsent.items()
            if name not in refused or not same(refused[name].value, value)
        }

    @property
    def on_its_way(self) -> bool:
        """Whether a worker is sending it now: then nobody else decides when it is due."""
        return self.state is RecordState.LEASED


@dataclass(frozen=True, slots=True)
class BundleTiming:
    """How long a record's bundle waits for more changes, in microseconds."""

    window: Micros
    max_wait: Micros

    @classmethod
    def from_seconds(cls, window: float, max_wait: float) -> BundleTiming:
        """From BUNDLE_WINDOW and BUNDLE_MAX_WAIT."""
        return cls(int(window * MICROS_PER_SECOND), int(max(window, max_wait) * MICROS_PER_SECOND))


# What events and people change


def changed(record: Record, updates: Iterable[Update], timing: BundleTiming, now: Micros) -> Record:
    """The record after live events: due when that leaves something unsent.

    A record that was set aside is due again too: the new change may be the cure, and costs one request to
    try.
    """
    record, fields = _with_another_term(record), merge(record.fields, updates)
    if record.on_its_way or not has_pending(fields):
        return replace(record, fields=fields)
    since = now if record.waiting_since is None else record.waiting_since
    due_at = min(now + timing.window, since + timing.max_wait)
    if record.failing_since is not None and record.state is RecordState.DUE:
        due_at = max(due_at, record.due_at or 0)  # a failing record keeps its pace, whatever comes in
    return replace(
        record,
        fields=fields,
        state=RecordState.DUE,
        waiting_since=since,
        due_at=due_at,
        cause=None,
        priority=Priority.LIVE,
    )


def rebuilt(record: Record, updates: Iterable[Update], now: Micros) -> Record:
    """The record built again from all its stored updates: what that leaves unsent goes after live changes."""
    record = replace(record, fields=rebuild(record.fields, record.archived, updates))
    if record.on_its_way:
        return record
    if not has_pending(record.fields):
        return replace(
            record, state=RecordState.CLEAN, due_at=None, waiting_since=None, failing_since=None, cause=None
        )
    if record.state is RecordState.DUE:
        return record
    return replace(
        _with_another_term(record),
        state=RecordState.DUE,
        waiting_since=now,
        due_at=now,
        cause=None,
        priority=Priority.REPLAYED,
    )


def archived(record: Record, removed: Iterable[Update]) -> Record:
    """The record once these updates are removed: what they had come to stays with it."""
    return replace(record, archived=merge(record.archived, removed))


def joined(survivor: Record, gone: Record, now: Micros) -> Record:
    """The record that two turn out to be. What it has unsent is due at once: perhaps it can be found only
    now.
    """
    waiting = [since for since in (survivor.waiting_since, gone.waiting_since) if since is not None]
    record = replace(
        survivor,
        fields=join(survivor.fields, gone.fields),
        archived=join(survivor.archived, gone.archived),
        creates=survivor.creates or gone.creates,
        priority=min(survivor.priority, gone.priority),
        waiting_since=min(waiting, default=None),
    )
    if record.on_its_way:
        return record
    record = replace(record, attempts=0, failing_since=None, cause=None)
    if not has_pending(record.fields):
        return replace(record, state=RecordState.CLEAN, due_at=None, waiting_since=None)
    return _due_now(record, now, record.waiting_since)


def relinked(record: Record, now: Micros) -> Record:
    """The record once it is known by one more identifier: if it was not found, it is looked for again."""
    if record.on_its_way or record.cause is None or record.cause.code not in NOT_FOUND_CAUSES:
        return record
    record = replace(record, attempts=0, failing_since=None, cause=None)
    return _due_now(record, now, record.waiting_since)


# What HubSpot's answers change


def after_attempt(record: Record, attempt: Attempt, now: Micros, jitter: float) -> Record:
    """The record after an attempt. `jitter` is a random number from 0 to 1.

    `record` is as it is now: changes that came while the request was on its way are in it, and stay unsent.
    """
    outcome, operation = attempt.outcome, attempt.operation
    sent = fields_of(operation)
    if outcome.kind == "done":
        return delivered(record, sent, outcome, now)
    if outcome.refused_fields:
        return refused(record, sent, outcome.refused_fields, now)
    if outcome.kind == "not_found" and isinstance(operation, Find) and operation.may_create:
        return to_be_created(record, now)
    return failed(record, outcome, now, jitter)


def delivered(record: Record, sent: Mapping[str, Wire | None], outcome: Outcome, now: Micros) -> Record:
    """The record once HubSpot took what was sent, told what was read, or told who it is."""
    fields = confirm(learn(record.fields, outcome.values), sent)
    since = now if sent else record.waiting_since
    return at_rest_or_due(replace(record, fields=fields), now, since)


def refused(
    record: Record, sent: Mapping[str, Wire | None], causes: Mapping[str, Cause], now: Micros
) -> Record:
    """The record once HubSpot refused these fields of what was sent: the others go again at once."""
    held_back = {name: Refusal(sent.get(name), cause) for name, cause in causes.items()}
    return at_rest_or_due(replace(record, refused={**record.refused, **held_back}), now)


def to_be_created(record: Record, now: Micros) -> Record:
    """The record that HubSpot does not have and may create: all that had to be read is known to be blank."""
    fields = learn(record.fields, dict.fromkeys(unread(record.fields)))
    return _due_now(_at_rest(replace(record, fields=fields)), now)


def failed(record: Record, outcome: Outcome, now: Micros, jitter: float) -> Record:
    """The record after an attempt that did not get through: due later, or dead."""
    failing_since = record.failing_since or now
    cause = _last_straw(outcome, failing_since, now)
    if cause is not None:
        return set_aside(record, cause, now)
    if outcome.pauses_all:
        return replace(record, state=RecordState.DUE, due_at=now)  # not its fault: it keeps its place
    backoff = LEAD_NOT_FOUND if outcome.kind == "not_found" else LEAD_RETRY
    delay = backoff.micros(record.attempts, retry_after=outcome.retry_after, chance=jitter)
    return replace(
        record,
        state=RecordState.DUE,
        due_at=now + delay,
        attempts=record.attempts + 1,
        failing_since=failing_since,
        cause=outcome.cause,
    )


def set_aside(record: Record, cause: Cause, now: Micros) -> Record:
    """The record as a dead letter: it waits for a person, or for a new change."""
    return replace(
        record,
        state=RecordState.DEAD,
        due_at=None,
        waiting_since=None,
        failing_since=record.failing_since or now,
        cause=cause,
    )


def not_addressable(record: Record, cause: Cause, now: Micros, jitter: float) -> Record:
    """The record that HubSpot cannot be asked for yet: looked at again later, as one that is not found."""
    return failed(record, Outcome("not_found", cause=cause), now, jitter)


def looked_up_again(record: Record, now: Micros) -> Record:
    """The record once HubSpot no longer knows it by the id that HubSpot gave: looked up again, at once."""
    return replace(record, state=RecordState.DUE, due_at=now, attempts=0, failing_since=None, cause=None)


def at_rest_or_due(record: Record, now: Micros, since: Micros | None = None) -> Record:
    """The record after it got through to HubSpot: due again if more is unsent (since `since`), dead if
    HubSpot refuses the rest, else clean.
    """
    if record.sendable or unread(record.fields):
        return _due_now(_at_rest(record), now, since)
    cause = held_back_by(record)
    if cause is None:
        return replace(_at_rest(record), refused={})
    return set_aside(_at_rest(record), cause, now)


def held_back_by(record: Record) -> Cause | None:
    """Why some of the unsent fields are not sent; None if none is held back."""
    unsent = record.unsent
    held = [
        (name, refusal.cause)
        for name, refusal in sorted(record.refused.items())
        if name in unsent and same(refusal.value, unsent[name])
    ]
    if not held:
        return None
    detail = "; ".join(f"{name} ({record.fields[name].place}): {cause.detail}" for name, cause in held)
    cures = dict.fromkeys(cause.cure for _, cause in held)
    return Cause("field_refused", f"{detail}. The other fields were sent", "; ".join(cures))


def _last_straw(outcome: Outcome, failing_since: Micros, now: Micros) -> Cause | None:
    """Why it is not tried again after this outcome; None if it is."""
    if outcome.kind == "set_aside":
        return outcome.cause or _gave_up(outcome)
    if outcome.kind == "not_found" and LEAD_NOT_FOUND.gives_up(failing_since, now):
        return outcome.cause or _gave_up(outcome)
    if outcome.kind == "again" and LEAD_RETRY.gives_up(failing_since, now):
        return _gave_up(outcome)
    return None


def _gave_up(outcome: Outcome) -> Cause:
    last = outcome.cause.detail if outcome.cause else "no answer"
    return Cause(
        "gave_up",
        f"HubSpot could not be reached for this lead in {LEAD_RETRY.give_up_days} days. Last: {last}",
        "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
    )


def _at_rest(record: Record) -> Record:
    """The record with nothing to send and no trouble."""
    return replace(
        record,
        state=RecordState.CLEAN,
        due_at=None,
        waiting_since=None,
        attempts=0,
        failing_since=None,
        cause=None,
    )


def _due_now(record: Record, now: Micros, since: Micros | None = None) -> Record:
    return replace(record, state=RecordState.DUE, due_at=now, waiting_since=since or now)


def _with_another_term(record: Record) -> Record:
    """A dead record that gets another chance gets a whole one: its count of failures begins again."""
    if record.state is not RecordState.DEAD:
        return record
    return replace(record, attempts=0, failing_since=None)
