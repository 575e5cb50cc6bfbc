"""What HubSpot is asked next for a record. Pure.

A lead that HubSpot's API cannot be asked for yet is looked up first; one with a field that fills only what
is blank is read first; then its unsent changes go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from integration.core.values import (
    MICROS_PER_SECOND,
    Cause,
    Create,
    Find,
    Identifier,
    Link,
    Micros,
    Operation,
    Read,
    Write,
)
from integration.lead.merge import unread
from integration.lead.record import Record

# What HubSpot said of a lead is asked again after a week: contacts are merged, and emails change hands.
FOUND_FOR: Micros = 7 * 24 * 3600 * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Reach:
    """How a HubSpot API knows leads: see `integration.hubspot.Destination`."""

    id_kind: str
    finds_by: frozenset[str]
    can_create: bool


def next_write(record: Record, links: Sequence[Link], reach: Reach, now: Micros) -> Operation | Cause | None:
    """The next operation; None if there is nothing to send; the cause if it cannot be addressed yet."""
    fields, reads = record.sendable, unread(record.fields)
    if not fields and not reads:
        return None
    identifiers = {link.kind: link.value for link in links if not _is_stale(link, now)}
    event_ids = sorted({record.fields[name].event_id for name in fields})
    if reach.id_kind in identifiers:
        if reads:
            return Read(record.id, identifiers, reads, event_ids)
        return Write(record.id, identifiers, fields, event_ids)
    may_create = record.creates and reach.can_create and "email" in identifiers
    if may_create and not reads:
        return Create(record.id, identifiers, fields, event_ids)
    sought = [Identifier(link.kind, link.value) for link in links if link.kind in reach.finds_by]
    if not sought:
        return _unresolved(links, reach)
    # One call asks by one kind of identifier. The next attempt asks by the next kind.
    turn = record.attempts % len(sought)
    return Find(record.id, sought[turn:] + sought[:turn], event_ids, may_create)


def _is_stale(link: Link, now: Micros) -> bool:
    return link.found_at is not None and now - link.found_at > FOUND_FOR


def _unresolved(links: Sequence[Link], reach: Reach) -> Cause:
    kinds = ", ".join(dict.fromkeys(link.kind for link in links)) or "nothing"
    wanted = " or ".join(sorted({reach.id_kind, *reach.finds_by}))
    return Cause(
        "unresolved",
        f"the lead is known by {kinds} only, and HubSpot needs its {wanted}",
        f"it goes by itself once an event tells its {wanted} as well; or `leadwire leads link KIND=VALUE` it",
    )
