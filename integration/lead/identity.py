"""Identity: which lead an event is about. What one event says together belongs to one lead from then on.
Pure.

Identifiers that were ever said together form a connected set, and each set is one lead. An event that
connects two sets makes their leads one. A lead has one guid and one contact id at HubSpot: an event that
would give it a second one contradicts what is known, and a person has to say which is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from integration.core.errors import shorten
from integration.core.values import Cause, Identifier

IdentifierKey = tuple[str, str]

SINGLE_KINDS = ("guid", "contact_id")


@dataclass(slots=True)
class KnownLeads:
    """What is known of leads: which one each identifier means, the guid and contact id of each, which are on
    their way to HubSpot, and which ones turned out to be another (`merged`: to its survivor).
    """

    by_identifier: dict[IdentifierKey, str] = field(default_factory=dict)
    single: dict[tuple[str, str], str] = field(default_factory=dict)
    leased: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)

    def copy(self) -> KnownLeads:
        """The same, to be changed apart."""
        return KnownLeads(dict(self.by_identifier), dict(self.single), set(self.leased), dict(self.merged))

    def survivor(self, lead_id: str) -> str:
        """The lead that this one turned out to be; itself if none."""
        while lead_id in self.merged:
            lead_id = self.merged[lead_id]
        return lead_id


@dataclass(frozen=True, slots=True)
class Identified:
    """An event by its id, and how it says which lead it is about, in the mapping's order."""

    event_id: str
    identifiers: Sequence[Identifier]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The lead of each event, by event id, but for those that contradict what is known and those whose leads
    cannot be made one before both are back from HubSpot (`postponed`). `fresh` identifiers are to be linked;
    `survivors` has the leads that are now another one.
    """

    lead_ids: Mapping[str, str]
    fresh: Mapping[IdentifierKey, str]
    survivors: Mapping[str, str]
    contradictions: Mapping[str, Cause]
    postponed: frozenset[str]


def keys_of(identifiers: Iterable[Identifier]) -> list[IdentifierKey]:
    """The identifiers as keys of what is known."""
    return [(identifier.kind, identifier.value) for identifier in identifiers]


def assign_leads(items: Iterable[Identified], known: KnownLeads, new_id: Callable[[], str]) -> Assignment:
    """Which lead each event is about; what that adds is added to `known` as well.

    Of leads that turn out to be one, the one that is on its way to HubSpot survives, else the oldest.
    """
    stored = {known.survivor(id) for id in known.by_identifier.values()}
    lead_ids: dict[str, str] = {}
    fresh: dict[IdentifierKey, str] = {}
    contradictions: dict[str, Cause] = {}
    postponed: set[str] = set()
    for item in items:
        keys = keys_of(item.identifiers)
        members = _members(keys, known)
        if cause := _contradiction(keys, members, known):
            contradictions[item.event_id] = cause
        elif len(on_their_way := [id for id in members if id in known.leased]) > 1:
            postponed.add(item.event_id)
        else:
            lead_id = _unite(members, on_their_way, known) if members else new_id()
            lead_ids[item.event_id] = lead_id
            fresh.update(_link(keys, lead_id, known))
    return Assignment(
        {event_id: known.survivor(id) for event_id, id in lead_ids.items()},
        {key: known.survivor(id) for key, id in fresh.items()},
        {id: known.survivor(id) for id in stored if id in known.merged},
        contradictions,
        frozenset(postponed),
    )


def contradict(one: str, other: str, known: KnownLeads) -> bool:
    """Whether HubSpot knows two leads by different guids or contact ids."""
    single = known.single
    return any(
        (one, kind) in single and (other, kind) in single and single[one, kind] != single[other, kind]
        for kind in SINGLE_KINDS
    )


def _members(keys: Iterable[IdentifierKey], known: KnownLeads) -> list[str]:
    """The leads that these identifiers mean, each once."""
    found = [known.by_identifier[key] for key in keys if key in known.by_identifier]
    return list(dict.fromkeys(known.survivor(id) for id in found))


def _contradiction(keys: Sequence[IdentifierKey], members: Sequence[str], known: KnownLeads) -> Cause | None:
    """Why these cannot all be one lead; None if they can."""
    for kind in SINGLE_KINDS:
        said = [(value, "this event says it itself") for key, value in keys if key == kind]
        linked = [
            (known.single[id, kind], f"{_shown(keys, id, known)} is linked to it")
            for id in members
            if (id, kind) in known.single
        ]
        by_value = dict(reversed([*said, *linked]))
        if len(by_value) > 1:
            return _contradicts(kind, by_value)
    return None


def _shown(keys: Iterable[IdentifierKey], lead_id: str, known: KnownLeads) -> str:
    """The event's identifiers of this lead; an email by its kind only, as this ends in logs."""
    mine = [key for key in keys if lead_id in _members([key], known)]
    return ", ".join("its email" if kind == "email" else f"{kind} {shorten(value)}" for kind, value in mine)


def _contradicts(kind: str, by_value: Mapping[str, str]) -> Cause:
    said = "; ".join(f"{kind} {shorten(value)}: {why}" for value, why in sorted(by_value.items()))
    cure = (
        f"see whose identifier is wrong, then `leadwire leads unlink KIND=VALUE` it (or `leadwire leads link "
        f"KIND=VALUE {kind}=...` it to the right lead): the event is then tried again"
    )
    return Cause("contradicting_identifiers", f"the event's identifiers mean different leads: {said}", cure)


def _unite(members: Sequence[str], on_their_way: Sequence[str], known: KnownLeads) -> str:
    survivor = on_their_way[0] if on_their_way else min(members)
    for id in members:
        if id != survivor:
            known.merged[id] = survivor
            for kind in SINGLE_KINDS:
                if (id, kind) in known.single:
                    known.single[survivor, kind] = known.single[id, kind]
    return survivor


def _link(keys: Iterable[IdentifierKey], lead_id: str, known: KnownLeads) -> dict[IdentifierKey, str]:
    """The identifiers that are new, linked to this lead."""
    fresh = {key: lead_id for key in keys if key not in known.by_identifier}
    known.by_identifier.update(fresh)
    known.single.update({(lead_id, kind): value for kind, value in fresh if kind in SINGLE_KINDS})
    return fresh
