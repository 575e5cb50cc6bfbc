"""Leads as people look them up: pages, one lead by whatever it is known by, and its last attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from integration.core.values import Micros
from integration.store.identifiers import identifiers_of
from integration.store.lead_rows import LeadRow, find
from integration.store.many import pair_of
from integration.store.tables import attempts, identifiers, in_state, leads
from integration.store.views.event_views import AttemptLine, attempt_line

_KINDS_TO_TRY = ("guid", "contact_id", "email")


@dataclass(frozen=True, slots=True)
class KnownLead:
    """A lead with its identifiers by kind."""

    row: LeadRow
    identifiers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LeadDetails:
    """One lead whole. `attempts` has the newest first."""

    lead: KnownLead
    updated_at: Micros
    attempts: tuple[AttemptLine, ...]


def list_leads(connection: Connection, *, limit: int, before: str | None = None) -> list[KnownLead]:
    """The newest leads older than the id `before`. By the primary key."""
    query = select(leads.c.id).order_by(leads.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(leads.c.id < before)
    return _known(connection, list(connection.execute(query).scalars()))


def list_dead_leads(
    connection: Connection, *, cause: str, limit: int, before: str | None = None
) -> list[KnownLead]:
    """The newest dead leads of this cause older than the id `before`. By `leads_dead`."""
    query = (
        select(leads.c.id)
        .where(in_state(leads, "dead"), leads.c.cause == cause)
        .order_by(leads.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(leads.c.id < before)
    return _known(connection, list(connection.execute(query).scalars()))


def find_lead_id(connection: Connection, known_by: str) -> str | None:
    """The id of the lead with this id, guid, contact id or email, or with an identifier as `kind=value`.

    All by primary keys. An email is also found in small letters, as mappings usually store it.
    """
    kind, separator, value = known_by.partition("=")
    keys = [(kind, value)] if separator else []
    keys += [(kind, known_by) for kind in _KINDS_TO_TRY] + [("email", known_by.lower())]
    by_id = connection.execute(select(leads.c.id).where(leads.c.id == known_by)).scalar()
    if by_id is not None:
        return str(by_id)
    linked = select(identifiers).where(pair_of(identifiers.c.kind, identifiers.c.value, keys))
    found = {(row.kind, row.value): str(row.lead_id) for row in connection.execute(linked)}
    return next((found[key] for key in keys if key in found), None)


def lead_details(connection: Connection, lead_id: str, *, attempts_shown: int) -> LeadDetails | None:
    """The lead with this id; None if there is none. By the primary key and `attempts_by_lead`."""
    found = _known(connection, [lead_id])
    if not found:
        return None
    updated_at = connection.execute(select(leads.c.updated_at).where(leads.c.id == lead_id)).scalar_one()
    last = select(attempts).where(attempts.c.lead_id == lead_id)
    rows = connection.execute(last.order_by(attempts.c.id.desc()).limit(attempts_shown))
    return LeadDetails(found[0], updated_at, tuple(attempt_line(row) for row in rows))


def _known(connection: Connection, ids: Sequence[str]) -> list[KnownLead]:
    rows, identifiers = find(connection, ids), identifiers_of(connection, ids)
    return [KnownLead(rows[id], identifiers[id]) for id in ids if id in rows]
