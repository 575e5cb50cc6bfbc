"""Identity: which lead an event is about. What one event says together belongs to one lead from then on.

Identifiers that were ever said together form a connected set, and each set is one lead. An event that
connects two sets makes their leads one. A lead has one guid and one contact id at HubSpot: an event that
would give it a second one contradicts what is known, and a person has to say which is right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy import Connection

from integration.core.clock import new_id
from integration.core.errors import LeadwireError, shorten
from integration.core.logs import log_action
from integration.core.patience import LINK_RETRY, LINK_TRIES
from integration.core.values import Cause, Identifier, Micros
from integration.lead.merge import from_json, join, pending, to_json
from integration.store import identifiers, lead_rows
from integration.store.engine import Store
from integration.store.identifiers import SINGLE_KINDS, IdentifierKey, Link
from integration.store.lead_rows import LeadRow

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class LinkedMeanwhileError(LeadwireError):
    """Another worker linked or sends the same leads at this moment; trying again finds it done."""


@dataclass(slots=True)
class KnownLeads:
    """What is known of leads: which one each identifier means, the guid and contact id of each, which are on
    their way to HubSpot, and which ones turned out to be another (`merged`: to its survivor).
    """

    by_identifier: dict[IdentifierKey, str] = field(default_factory=dict)
    single: dict[tuple[str, str], str] = field(default_factory=dict)
    leased: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)

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


def retrying_links(transaction: Callable[[], Result]) -> Result:
    """Run a transaction that resolves leads; again if another one links or sends the same leads meanwhile."""
    for number in range(LINK_TRIES):
        try:
            return transaction()
        except LinkedMeanwhileError:
            time.sleep(LINK_RETRY.seconds(number))
    raise LeadwireError("Other workers keep using the same leads; try again in a minute.")


def known_leads(connection: Connection, items: Iterable[Identified]) -> KnownLeads:
    """Those that identifiers of these events are linked to."""
    wanted = {(known.kind, known.value) for item in items for known in item.identifiers}
    by_identifier = identifiers.find_by_identifiers(connection, wanted)
    ids = set(by_identifier.values())
    return KnownLeads(
        by_identifier, identifiers.single_of(connection, ids), lead_rows.leased(connection, ids)
    )


def assign_leads(items: Iterable[Identified], known: KnownLeads, now: Micros) -> Assignment:
    """Which lead each event is about; what that adds is added to `known` as well. Pure.

    Of leads that turn out to be one, the one that is on its way to HubSpot survives, else the oldest.
    """
    stored = {known.survivor(id) for id in known.by_identifier.values()}
    lead_ids: dict[str, str] = {}
    fresh: dict[IdentifierKey, str] = {}
    contradictions: dict[str, Cause] = {}
    postponed: set[str] = set()
    for item in items:
        keys = [(identifier.kind, identifier.value) for identifier in item.identifiers]
        members = _members(keys, known)
        if cause := _contradiction(keys, members, known):
            contradictions[item.event_id] = cause
        elif len(on_their_way := [id for id in members if id in known.leased]) > 1:
            postponed.add(item.event_id)
        else:
            lead_id = _unite(members, on_their_way, known) if members else new_id(now)
            lead_ids[item.event_id] = lead_id
            fresh.update(_link(keys, lead_id, known))
    return Assignment(
        {event_id: known.survivor(id) for event_id, id in lead_ids.items()},
        {key: known.survivor(id) for key, id in fresh.items()},
        {id: known.survivor(id) for id in stored if id in known.merged},
        contradictions,
        frozenset(postponed),
    )


def resolve(
    connection: Connection, items: Sequence[Identified], now: Micros, found_at: Micros | None = None
) -> Assignment:
    """`assign_leads` by what is stored, and all of it written down: new leads, links, and leads made one.

    Raises LinkedMeanwhileError if another worker was in between: to be run again as a new transaction.
    """
    known = known_leads(connection, items)
    there = set(known.by_identifier.values())
    assigned = assign_leads(items, known, now)
    lead_rows.create(connection, sorted(set(assigned.lead_ids.values()) - there), now)
    make_one(connection, assigned.survivors, now)
    if not identifiers.link(connection, assigned.fresh, found_at):
        raise LinkedMeanwhileError
    return assigned


def take_found(store: Store, found: Mapping[str, Mapping[str, str]], now: Micros) -> Mapping[str, Cause]:
    """Remember how HubSpot knows these leads, by lead id and kind; returns why it cannot be, by lead id.

    What HubSpot said of them before is forgotten. A lead that is another one by this becomes one with it.
    """
    return retrying_links(lambda: _take_found_once(store, found, now))


def _take_found_once(
    store: Store, found: Mapping[str, Mapping[str, str]], now: Micros
) -> Mapping[str, Cause]:
    with store.write() as connection:
        for kind in {kind for known in found.values() for kind in known}:
            identifiers.unlink_found(connection, found, kind)
        links = identifiers.links_of(connection, found)
        items = [
            Identified(id, [_anchor(links[id]), *(Identifier(kind, value) for kind, value in known.items())])
            for id, known in found.items()
            if links[id]
        ]
        assigned = resolve(connection, items, now, found_at=now)
        if assigned.postponed:
            raise LinkedMeanwhileError
    return assigned.contradictions


def _anchor(links: Sequence[Link]) -> Identifier:
    """One of the identifiers that a lead has: enough to say which lead is meant."""
    return Identifier(links[0].kind, links[0].value)


def make_one(connection: Connection, survivors: Mapping[str, str], now: Micros) -> None:
    """Each lead becomes part of its survivor: all that belongs to it, and its fields by their clocks.

    Raises LinkedMeanwhileError if one of them is gone or on its way to HubSpot by now.
    """
    if not survivors:
        return
    rows = lead_rows.lock(connection, {*survivors, *survivors.values()})
    if any(id not in rows for pair in survivors.items() for id in pair):
        raise LinkedMeanwhileError
    if any(rows[id].state == "leased" for id in survivors):
        raise LinkedMeanwhileError
    for gone, survivor in sorted(survivors.items()):
        rows[survivor] = joined(rows[survivor], rows[gone], now)
        log_action(log, "lead.merged", "Two leads turned out to be one", lead=survivor, gone=gone)
    if not lead_rows.absorb(connection, survivors):
        raise LinkedMeanwhileError
    lead_rows.save(connection, [rows[id] for id in sorted(set(survivors.values()))], now)


def joined(survivor: LeadRow, gone: LeadRow, now: Micros) -> LeadRow:
    """The lead that two turn out to be. What it has unsent is due at once: it may be found only now."""
    state = join(from_json(survivor.document), from_json(gone.document))
    waiting = [since for since in (survivor.waiting_since, gone.waiting_since) if since is not None]
    row = replace(
        survivor,
        document=to_json(state),
        folded=to_json(join(from_json(survivor.folded), from_json(gone.folded))),
        creates=survivor.creates or gone.creates,
        priority=min(survivor.priority, gone.priority),
        waiting_since=min(waiting, default=None),
    )
    if row.state == "leased":
        return row
    fields = {"attempts": 0, "failing_since": None, "cause": None}
    if not pending(state):
        return replace(row, state="clean", due_at=None, waiting_since=None, **fields)  # type: ignore[arg-type]
    return replace(row, state="due", due_at=now, waiting_since=row.waiting_since or now, **fields)  # type: ignore[arg-type]


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
    mine = [key for key in keys if known.survivor(known.by_identifier.get(key, "")) == lead_id]
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
