"""Linking: a person says which lead an identifier means, or that it no longer means any."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from integration.core.bounds import unusable_as_key
from integration.core.clock import Clock
from integration.core.errors import LeadwireError, shorten
from integration.core.logs import log_action
from integration.core.values import Micros
from integration.lead.identity import IdentifierKey, KnownLeads, contradict
from integration.lead.record import relinked
from integration.operate.dead_letters import Letters, retry_dead
from integration.pipeline.knowing import LinkedMeanwhileError, join_leads, retrying_links
from integration.store import identifiers, records
from integration.store.engine import Store
from integration.store.isolation import cause_of, lies_in_data
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

How = Literal["added", "already", "merged", "moved"]


@dataclass(frozen=True, slots=True)
class Linked:
    """What linking did: the identifier was `added`, was there `already`, its lead was `merged` into the other
    one, or only the identifier `moved`, as the two have different guids or contact ids. So many events that
    contradicted what was known are `retried`.
    """

    how: How
    retried: int


def link(store: Store, account: str, clock: Clock, key: IdentifierKey, lead_id: str) -> Linked:
    """From now on this identifier means this lead, which must be known. Raises LeadwireError if it cannot."""
    if problem := unusable_as_key(key[1]):
        raise LeadwireError(f"{key[0]}={shorten(key[1])} cannot be linked: it {problem}.")
    how = _linked(store, account, key, lead_id, clock)
    log_action(log, "lead.linked", "A person linked an identifier", lead=lead_id, kind=key[0], how=how)
    return Linked(how, _retry_contradictions(store, account, clock))


def _linked(store: Store, account: str, key: IdentifierKey, lead_id: str, clock: Clock) -> How:
    try:
        return retrying_links(lambda: _link_once(store, account, key, lead_id, clock()))
    except Exception as error:
        if not lies_in_data(error):
            raise
        detail = cause_of(error).detail
        raise LeadwireError(f"{key[0]}={shorten(key[1])} cannot be linked: {detail}.") from error


def unlink(store: Store, account: str, clock: Clock, key: IdentifierKey) -> int | None:
    """This identifier means no lead any more; returns how many contradicting events are translated again.

    None if it meant none before.
    """
    with store.write() as connection:
        known = identifiers.unlink(connection, account, [key])
    if not known:
        return None
    log_action(log, "lead.unlinked", "A person unlinked an identifier", kind=key[0])
    return _retry_contradictions(store, account, clock)


def _link_once(store: Store, account: str, key: IdentifierKey, lead_id: str, now: Micros) -> How:
    with store.write() as connection:
        other = identifiers.find_by_identifiers(connection, account, {key}).get(key)
        how = _join(connection, account, key, lead_id, other, now=now)
        record = records.lock(connection, [lead_id]).get(lead_id)
        if record is None:
            raise LinkedMeanwhileError
        records.save(connection, [relinked(record, now)], now)
        announce(connection)
        return how


def _join(
    connection: Connection, account: str, key: IdentifierKey, lead_id: str, other: str | None, *, now: Micros
) -> How:
    if other == lead_id:
        return "already"
    if other is not None and not _contradict(connection, lead_id, other):
        join_leads(connection, other, lead_id, now)
        return "merged"
    identifiers.unlink(connection, account, [key, *_replaced(connection, key, lead_id)])
    if not identifiers.link(connection, account, {key: lead_id}):
        raise LinkedMeanwhileError
    return "added" if other is None else "moved"


def _contradict(connection: Connection, one: str, other: str) -> bool:
    """Whether HubSpot knows the two by different guids or contact ids."""
    return contradict(one, other, KnownLeads(single=identifiers.single_of(connection, [one, other])))


def _replaced(connection: Connection, key: IdentifierKey, lead_id: str) -> list[IdentifierKey]:
    """The guid or contact id that gives way to the one that a person names."""
    before = identifiers.single_of(connection, [lead_id]).get((lead_id, key[0]))
    return [] if before is None else [(key[0], before)]


def _retry_contradictions(store: Store, account: str, clock: Clock) -> int:
    letters = Letters(cause="contradicting_identifiers")
    return retry_dead(store, account, clock, letters, lambda _: None).events
