"""The one step: from what is known and translated events to what is known then. Pure.

Live translation, replay, its plan, `try` and the tests of mapping files all call `advance`. Who calls it
reads what it needs to know, and writes, shows or drops what it found: nobody else decides which lead an event
is about or what a field becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from integration.core.values import (
    Asked,
    Cause,
    EventEnd,
    EventState,
    FetchRequest,
    Ignored,
    Meaning,
    Micros,
    SetAside,
    TranslatedEvent,
    Update,
)
from integration.lead.identity import (
    Assignment,
    Identified,
    IdentifierKey,
    KnownLeads,
    assign_leads,
)
from integration.lead.merge import FieldStates
from integration.lead.record import BundleTiming, Priority, Record, changed, joined, relinked

LeadUpdate = tuple[str, Update]  # the id of a lead, and what an event asks for on it


@dataclass(frozen=True, slots=True)
class EndBefore:
    """How an event ended before, and what it asked for of which lead; None if for nothing."""

    state: EventState
    cause: str | None
    detail: str | None
    asked: LeadUpdate | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before a step: leads by their identifiers, their records by id, and of events that are
    translated again, by id, how they ended before. `fields_of_new` is what HubSpot has of a lead that is
    not known yet: nothing, but in a test of a mapping file.
    """

    leads: KnownLeads = field(default_factory=KnownLeads)
    records: Mapping[str, Record] = field(default_factory=dict)
    before: Mapping[str, EndBefore] = field(default_factory=dict)
    fields_of_new: FieldStates = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The account and the moment of a step, how long bundles wait, whether its events are live or replayed,
    and how leads that nobody knew get their ids.
    """

    account: str
    now: Micros
    timing: BundleTiming
    priority: Priority
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a step found.

    `ends`: how its events end, without those that end as before and those that wait (`postponed`: the leads
    that they make one are on their way to HubSpot). `created`: the leads that nobody knew. `links`:
    identifiers that are new, each with its lead. `survivors`: leads that turned out to be another one.
    `records`: those that changed, by id. `asked`: what events ask for, with its lead; `withdrawn`: events
    that ask for nothing any more. `to_rebuild`: leads whose events asked for something else before. `leads`:
    what is known then.
    """

    ends: tuple[EventEnd, ...]
    postponed: frozenset[str]
    created: frozenset[str]
    links: Mapping[IdentifierKey, str]
    survivors: Mapping[str, str]
    records: Mapping[str, Record]
    asked: tuple[LeadUpdate, ...]
    withdrawn: tuple[str, ...]
    to_rebuild: frozenset[str]
    leads: KnownLeads

    @property
    def fetching(self) -> list[str]:
        """The events that something has to be fetched for first."""
        return [end.id for end in self.ends if end.state is EventState.FETCHING]


def advance(known: Known, events: Sequence[TranslatedEvent], at: Circumstances) -> Advanced:
    """What is known after these events. `known` stays as it is."""
    leads = known.leads.copy()
    asking = [
        Identified(event.id, meaning.identifiers)
        for event in events
        if isinstance(meaning := event.translation.meaning, Asked)
    ]
    assigned = assign_leads(asking, leads, at.new_id)
    results = [
        _Result(event, end_of(event, assigned), assigned.lead_ids.get(event.id), _before(known, leads, event))
        for event in events
        if event.id not in assigned.postponed
    ]
    results = [result for result in results if result.is_news]
    together = made_one(at.account, known.records, assigned.survivors, at.now)
    records = {**together, **_of_events(known, together, assigned, results, at)}
    return Advanced(
        ends=tuple(result.end for result in results),
        postponed=assigned.postponed,
        created=frozenset(set(assigned.lead_ids.values()) - known.records.keys()),
        links=assigned.fresh,
        survivors=assigned.survivors,
        records=records,
        asked=tuple(result.asked for result in results if result.asked is not None),
        withdrawn=tuple(
            result.event.id for result in results if result.asked is None and result.asked_before
        ),
        to_rebuild=_to_rebuild(results) if at.priority is Priority.REPLAYED else frozenset(),
        leads=leads,
    )


def end_of(event: TranslatedEvent, assigned: Assignment) -> EventEnd:
    """How the event ends."""
    translation = event.translation
    state, cause = _ended(translation.meaning, assigned.contradictions.get(event.id))
    return EventEnd(
        event.id,
        state,
        translation.type,
        translation.occurred_at,
        assigned.lead_ids.get(event.id),
        cause,
        event.mapping_version,
    )


def _ended(meaning: Meaning, contradiction: Cause | None) -> tuple[EventState, Cause | None]:
    """A contradiction in what an event says of its lead makes it a dead letter."""
    match meaning:
        case Asked():
            return EventState.DEAD if contradiction else EventState.TRANSLATED, contradiction
        case Ignored(reason=reason):
            return EventState.IGNORED, Cause("ignored", reason, "")
        case SetAside(cause=cause):
            return EventState.DEAD, cause
        case FetchRequest():
            return EventState.FETCHING, None


@dataclass(frozen=True, slots=True)
class _Result:
    """An event, how it ends now and of which lead it asks for something, and how it ended before."""

    event: TranslatedEvent
    end: EventEnd
    lead_id: str | None
    before: EndBefore | None

    @property
    def asked(self) -> LeadUpdate | None:
        return None if self.lead_id is None else (self.lead_id, self.event.update)

    @property
    def asked_before(self) -> LeadUpdate | None:
        return self.before.asked if self.before else None

    @property
    def is_news(self) -> bool:
        """Whether it now asks for something else, of another lead, or ends another way."""
        if self.before is None:
            return True
        new, old = self.asked, self.before.asked
        if new is None and old is None:
            cause = self.end.cause
            ends = (self.end.state, cause and cause.code, cause and cause.detail)
            return (self.before.state, self.before.cause, self.before.detail) != ends
        if new is None or old is None:
            return True
        return (old[0], old[1].clock, _meaning(old[1])) != (new[0], new[1].clock, _meaning(new[1]))


def _meaning(update: Update) -> dict[str, tuple[str, str]]:
    """What an update asks for: the same wherever it stands in the mapping file.

    So a new comment above all rules changes no event, and each field keeps the file's line and version that
    really set it. By repr: 1 and True are two values, 20 and 20.0 are stored as two.
    """
    return {change.field: (repr(change.value), change.write) for change in update.changes}


def _before(known: Known, leads: KnownLeads, event: TranslatedEvent) -> EndBefore | None:
    """How the event ended before; its lead as the one that it turned out to be."""
    before = known.before.get(event.id)
    if before is None or before.asked is None:
        return before
    return replace(before, asked=(leads.survivor(before.asked[0]), before.asked[1]))


def made_one(
    account: str, known: Mapping[str, Record], survivors: Mapping[str, str], now: Micros
) -> dict[str, Record]:
    """The records of leads that others turned out to be, by id, with all that those had."""
    records: dict[str, Record] = {}
    for gone, survivor in sorted(survivors.items()):
        mine = records.get(survivor) or known.get(survivor) or Record(account, survivor)
        records[survivor] = joined(mine, known.get(gone) or Record(account, gone), now)
    return records


def _of_events(
    known: Known,
    together: Mapping[str, Record],
    assigned: Assignment,
    results: Iterable[_Result],
    at: Circumstances,
) -> dict[str, Record]:
    """The records that these events change, as they are then: live ones at once, replayed ones not before
    they are rebuilt.
    """
    relinked_leads = set(assigned.fresh.values())
    records: dict[str, Record] = {}
    for id, group in _by_lead(results).items():
        before = together.get(id) or known.records.get(id)
        record = before or Record(at.account, id, fields=known.fields_of_new)
        if not record.creates and any(event.creates for event in group):
            record = replace(record, creates=True)
        if at.priority is Priority.LIVE:
            record = relinked(record, at.now) if id in relinked_leads else record
            record = changed(record, [event.update for event in group], at.timing, at.now)
        if record is not before:
            records[id] = record
    return records


def _by_lead(results: Iterable[_Result]) -> dict[str, list[TranslatedEvent]]:
    by_lead: dict[str, list[TranslatedEvent]] = {}
    for result in results:
        if result.lead_id is not None:
            by_lead.setdefault(result.lead_id, []).append(result.event)
    return by_lead


def _to_rebuild(results: Iterable[_Result]) -> frozenset[str]:
    return frozenset(
        asked[0] for result in results for asked in (result.asked, result.asked_before) if asked is not None
    )
