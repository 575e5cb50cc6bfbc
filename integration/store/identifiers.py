"""What leads are known by. An identifier means one lead of an account; a lead has at most one guid and one
contact id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Link, Micros
from integration.lead.identity import SINGLE_KINDS, IdentifierKey
from integration.store.account_keys import key_in, key_of
from integration.store.many import one_of, pair_of
from integration.store.tables import identifiers


def find_by_identifiers(
    connection: Connection, account: str, wanted: Collection[IdentifierKey]
) -> dict[IdentifierKey, str]:
    """The lead id of each identifier that is known in the account."""
    if not wanted:
        return {}
    query = select(identifiers).where(_is_one_of(account, wanted))
    return {(row.kind, key_of(account, row.value)): row.lead_id for row in connection.execute(query)}


def _is_one_of(account: str, keys: Collection[IdentifierKey]) -> ColumnElement[bool]:
    stored = [(kind, key_in(account, value)) for kind, value in keys]
    return pair_of(identifiers.c.kind, identifiers.c.value, stored)


def link(
    connection: Connection,
    account: str,
    links: Mapping[IdentifierKey, str],
    found_at: Micros | None = None,
) -> bool:
    """Remember which lead each identifier means. False if it is another one's, or if its lead has another
    guid or contact id: somebody else linked one of them just now.
    """
    if not links:
        return True
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    rows = [
        {
            "kind": kind, "value": key_in(account, value), "lead_id": id, "found_at": found_at,
            "account": account,
        }
        for (kind, value), id in sorted(links.items())
    ]  # fmt: skip
    insertion = dialect.insert(identifiers).on_conflict_do_nothing().returning(identifiers.c.lead_id)
    return len(connection.execute(insertion, rows).all()) == len(rows)


def unlink(connection: Connection, account: str, keys: Collection[IdentifierKey]) -> int:
    """Forget which lead these identifiers mean; returns how many were known."""
    if not keys:
        return 0
    return connection.execute(delete(identifiers).where(_is_one_of(account, keys))).rowcount


def unlink_found(connection: Connection, lead_ids: Collection[str], kind: str) -> set[str]:
    """Forget the identifiers of this kind that HubSpot gave for these leads; returns who had one."""
    gone = delete(identifiers).where(
        one_of(identifiers.c.lead_id, lead_ids),
        identifiers.c.kind == kind,
        identifiers.c.found_at.is_not(None),
    )
    return set(connection.execute(gone.returning(identifiers.c.lead_id)).scalars())


def links_of(connection: Connection, lead_ids: Collection[str]) -> dict[str, list[Link]]:
    """For each lead, all that it is known by, in the order of kind and value."""
    found: dict[str, list[Link]] = {id: [] for id in lead_ids}
    query = select(identifiers).where(one_of(identifiers.c.lead_id, lead_ids))
    for row in connection.execute(query.order_by(identifiers.c.kind, identifiers.c.value)):
        found[row.lead_id].append(Link(row.kind, key_of(row.account, row.value), row.found_at))
    return found


def identifiers_of(connection: Connection, lead_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """For each lead, one identifier of each kind as {kind: value}."""
    links = links_of(connection, lead_ids)
    return {id: {link.kind: link.value for link in found} for id, found in links.items()}


def single_of(connection: Connection, lead_ids: Collection[str]) -> dict[tuple[str, str], str]:
    """The guid and contact id of each lead that has one, by (lead id, kind)."""
    query = select(identifiers).where(
        one_of(identifiers.c.lead_id, lead_ids),
        or_(*(identifiers.c.kind == kind for kind in SINGLE_KINDS)),
    )
    return {(row.lead_id, row.kind): key_of(row.account, row.value) for row in connection.execute(query)}
