"""Good versions of the files that people edit: a few of each, so that the last one outlives its file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.many import one_of
from integration.store.tables import mapping_versions as table

KEPT = 10  # of each file


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A text that was good, and when it was last taken into use."""

    name: str
    digest: str
    text: str
    since: Micros


def names(connection: Connection, account: str) -> set[str]:
    """Of which files there are versions."""
    return set(
        connection.execute(select(table.c.name).where(table.c.account == account).distinct()).scalars()
    )


def newest_digests(connection: Connection, account: str) -> dict[str, str]:
    """The digest of the newest version of each file."""
    query = select(table.c.name, table.c.digest).where(table.c.account == account).order_by(table.c.since)
    return dict(connection.execute(query).all())


def versions(
    connection: Connection, account: str, wanted: Collection[str]
) -> Mapping[str, list[StoredVersion]]:
    """The versions of these files, the newest first."""
    found: dict[str, list[StoredVersion]] = {name: [] for name in wanted}
    query = (
        select(table.c.name, table.c.digest, table.c.text, table.c.since)
        .where(table.c.account == account, one_of(table.c.name, wanted))
        .order_by(table.c.since.desc(), table.c.digest)
    )
    for row in connection.execute(query):
        found[row.name].append(StoredVersion(*row))
    return found


def put(connection: Connection, account: str, good: Iterable[StoredVersion]) -> None:
    """Write down versions that are in use now; of each file, the oldest beyond KEPT go."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for version in sorted(good, key=lambda version: version.name):
        row = {
            "account": account, "name": version.name, "digest": version.digest, "text": version.text,
            "since": version.since,
        }  # fmt: skip
        known = [table.c.account, table.c.name, table.c.digest]
        insert = dialect.insert(table).on_conflict_do_update(
            index_elements=known, set_={"since": version.since}
        )
        connection.execute(insert, [row])
        _prune(connection, account, version.name)


def _prune(connection: Connection, account: str, name: str) -> None:
    mine = (table.c.account == account, table.c.name == name)
    oldest_kept = select(table.c.since).where(*mine).order_by(table.c.since.desc()).offset(KEPT - 1).limit(1)
    boundary = func.coalesce(oldest_kept.scalar_subquery(), 0)
    connection.execute(delete(table).where(*mine, table.c.since < boundary))
