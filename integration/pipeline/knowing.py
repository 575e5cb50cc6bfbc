"""Between the store and `lead.advance`: what the step needs to know is read here, and what it found is
written.

Two workers may find out the same at one moment. The later one sees that (LinkedMeanwhileError), and its
transaction is run again with what is known by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from integration.core.bounds import unusable_as_key
from integration.core.clock import ids_at
from integration.core.durations import LINK_RETRY, LINK_TRIES
from integration.core.errors import LeadwireError, shorten
from integration.core.logs import log_action
from integration.core.values import Asked, Cause, Identifier, Link, Micros, TranslatedEvent
from integration.core.world import world
from integration.lead.advance import Advanced, Known, made_one
from integration.lead.identity import Identified, IdentifierKey, KnownLeads, assign_leads, keys_of
from integration.lead.record import Record
from integration.store import identifiers, records, updates
from integration.store.engine import Store
from integration.store.isolation import Culprit, cause_of, isolated

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class LinkedMeanwhileError(LeadwireError):
    """Another worker linked or sends the same leads at this moment; trying again finds it done."""


def retrying_links(transaction: Callable[[], Result]) -> Result:
    """Run a transaction that links leads; again if another one links or sends the same leads meanwhile."""
    for number in range(LINK_TRIES):
        try:
            return transaction()
        except LinkedMeanwhileError:
            world().sleep(LINK_RETRY.seconds(number))
    raise LeadwireError("Other workers keep using the same leads; try again in a minute.")


def keys_of_events(events: Iterable[TranslatedEvent]) -> set[IdentifierKey]:
    """The identifiers by which these events know leads."""
    return {
        key
        for event in events
        if isinstance(meaning := event.translation.meaning, Asked)
        for key in keys_of(meaning.identifiers)
    }


def known_to(connection: Connection, account: str, keys: Iterable[IdentifierKey]) -> Known:
    """What is known of the account's leads that these identifiers mean; they stay locked until the
    transaction ends.

    Raises LinkedMeanwhileError if one of them is part of another lead since a moment ago.
    """
    by_identifier = identifiers.find_by_identifiers(connection, account, set(keys))
    ids = set(by_identifier.values())
    found = records.lock(connection, ids)
    if len(found) < len(ids):
        raise LinkedMeanwhileError
    return _known(connection, by_identifier, found)


def seen_of(connection: Connection, account: str, keys: Iterable[IdentifierKey]) -> Known:
    """What is known of the account's leads that these identifiers mean, to look at only: not locked."""
    by_identifier = identifiers.find_by_identifiers(connection, account, set(keys))
    return _known(connection, by_identifier, records.find(connection, set(by_identifier.values())))


def _known(
    connection: Connection, by_identifier: dict[IdentifierKey, str], found: Mapping[str, Record]
) -> Known:
    leased = {id for id, record in found.items() if record.on_its_way}
    return Known(KnownLeads(by_identifier, identifiers.single_of(connection, found), leased), found)


def write_advanced(connection: Connection, account: str, found: Advanced, now: Micros) -> None:
    """Write down what a step found of leads: new ones, those that are one, links, records and updates.

    Raises LinkedMeanwhileError if another worker was in between.
    """
    records.add(connection, [found.records[id] for id in sorted(found.created)], now)
    _link(connection, account, found.links, found.survivors)
    there = [record for id, record in sorted(found.records.items()) if id not in found.created]
    records.save(connection, there, now)
    updates.remove(connection, found.withdrawn)
    updates.put(connection, account, found.asked)


def take_found(
    store: Store, account: str, found: Mapping[str, Mapping[str, str]], now: Micros
) -> Mapping[str, Cause]:
    """Remember how HubSpot knows these leads, by lead id and kind; returns why it cannot be, by lead id.

    What HubSpot said of them before is forgotten. A lead that is another one by this becomes one with it.
    """
    causes = {id: cause for id, said in found.items() if (cause := _unusable(said))}
    fit = [(id, said) for id, said in found.items() if id not in causes]
    for part in isolated(
        fit, lambda some: retrying_links(lambda: _take_found_once(store, account, dict(some), now))
    ):
        causes |= {part.item[0]: cause_of(part.error)} if isinstance(part, Culprit) else part.result
    return causes


def _unusable(said: Mapping[str, str]) -> Cause | None:
    for kind, value in said.items():
        if problem := unusable_as_key(value):
            detail = f"HubSpot answered with a {kind} that cannot be kept: {shorten(value)} {problem}"
            cure = "see at HubSpot what is wrong with this lead; then `leadwire dead retry` it"
            return Cause("unusable_identifier", detail, cure)
    return None


def _take_found_once(
    store: Store, account: str, found: Mapping[str, Mapping[str, str]], now: Micros
) -> Mapping[str, Cause]:
    with store.write() as connection:
        records.lock(
            connection, found
        )  # records before identifiers, like everywhere: nobody waits in a circle
        for kind in {kind for said in found.values() for kind in said}:
            identifiers.unlink_found(connection, found, kind)
        links = identifiers.links_of(connection, found)
        items = [
            Identified(id, [_anchor(links[id]), *(Identifier(kind, value) for kind, value in said.items())])
            for id, said in found.items()
            if links[id]
        ]
        known = known_to(connection, account, (key for item in items for key in keys_of(item.identifiers)))
        assigned = assign_leads(items, known.leads, ids_at(now))
        if assigned.postponed:
            raise LinkedMeanwhileError
        _link(connection, account, assigned.fresh, assigned.survivors, found_at=now)
        records.save(
            connection, list(made_one(account, known.records, assigned.survivors, now).values()), now
        )
    return assigned.contradictions


def _anchor(links: Sequence[Link]) -> Identifier:
    """One of the identifiers that a lead has: enough to say which lead is meant."""
    return Identifier(links[0].kind, links[0].value)


def join_leads(connection: Connection, gone: str, survivor: str, now: Micros) -> None:
    """A lead becomes part of another, as a person says: all that belongs to it, and its fields by their
    clocks.

    Raises LinkedMeanwhileError if one of them is gone or on its way to HubSpot by now.
    """
    both = records.lock(connection, [gone, survivor])
    if len(both) < 2 or both[gone].on_its_way:
        raise LinkedMeanwhileError
    _link(connection, both[survivor].account, {}, {gone: survivor})
    records.save(
        connection, list(made_one(both[survivor].account, both, {gone: survivor}, now).values()), now
    )


def _link(
    connection: Connection,
    account: str,
    links: Mapping[IdentifierKey, str],
    survivors: Mapping[str, str],
    found_at: Micros | None = None,
) -> None:
    if survivors and not records.absorb(connection, survivors):
        raise LinkedMeanwhileError
    for gone, survivor in sorted(survivors.items()):
        log_action(log, "lead.merged", "Two leads turned out to be one", lead=survivor, gone=gone)
    if not identifiers.link(connection, account, links, found_at):
        raise LinkedMeanwhileError
