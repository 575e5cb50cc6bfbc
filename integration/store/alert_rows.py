"""What people are told about: dead letters that are news, and what was told already.

One row for each subject (a kind of dead letter and a cause, or the deliveries as a whole). Whoever is about
to tell it locks the row and moves its `next_at`, so all workers together tell it once. The queries go down
the partial indexes `events_dead_of_account_by_time` and `leads_dead_of_account_by_time` (account, cause,
time of death): they cost what is news, however many events are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Cause, Micros
from integration.store.account_keys import key_in, key_of
from integration.store.dead_rows import Kind
from integration.store.tables import alerts, events, in_state, leads

DELIVERY, TRANSLATION, DUE = "delivery", "translation", "due"  # subjects of what lasts
MOST_COUNTED = 100_000

_DIED: dict[Kind, ColumnElement[Any]] = {"event": events.c.settled_at, "lead": leads.c.updated_at}
_TABLES = {"event": events, "lead": leads}


@dataclass(frozen=True, slots=True)
class Told:
    """What was told. Dead letters after `told_until` are news; nobody tells anything before `next_at`;
    `failures` counts posts that failed in a row. `since`, of deliveries only: when their pause began, or 0.
    """

    account: str
    subject: str
    since: Micros = 0
    told_until: Micros = 0
    next_at: Micros = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """Dead letters of one kind and cause that nobody was told about: how many (at most MOST_COUNTED), since
    when, and the newest as an example, with what is said of it.
    """

    kind: Kind
    cause: Cause
    count: int
    oldest: Micros
    example: str


def subject_of(kind: Kind, code: str) -> str:
    """The subject of the dead letters of one kind and cause."""
    return f"{kind}/{code}"


def causes(connection: Connection, account: str) -> list[tuple[Kind, str]]:
    """The kinds and causes of which the account has dead letters: one look into an index for each."""
    return [(kind, code) for kind in _DIED for code in _causes(connection, account, kind)]


def _causes(connection: Connection, account: str, kind: Kind) -> Iterator[str]:
    table = _TABLES[kind]
    column = table.c.cause
    code: str | None = ""
    while code is not None:
        dead = (in_state(table, "dead"), table.c.account == account)
        query = select(column).where(*dead, column > code).order_by(column).limit(1)
        code = connection.execute(query).scalar()
        if code is not None:
            yield code


def news_of(
    connection: Connection, account: str, kind: Kind, code: str, *, after: Micros, until: Micros
) -> News | None:
    """Dead letters of this cause that died after `after`, up to `until`; None if there is none."""
    table, died = _TABLES[kind], _DIED[kind]
    newest = _dead_between(
        select(table.c.id, table.c.detail, table.c.cure), account, kind, code, after=after, until=until
    )
    example = connection.execute(newest.order_by(died.desc()).limit(1)).first()
    if example is None:
        return None
    some = _dead_between(select(died.label("died")), account, kind, code, after=after, until=until).order_by(
        died
    )
    counted = some.limit(MOST_COUNTED).subquery()
    count, oldest = connection.execute(select(func.count(), func.min(counted.c.died))).one()
    cause = Cause(code, example.detail or "", example.cure or "")
    return News(kind, cause, count, oldest, example.id)


def _dead_between(
    query: Select[Any], account: str, kind: Kind, code: str, *, after: Micros, until: Micros
) -> Select[Any]:
    table, died = _TABLES[kind], _DIED[kind]
    dead = (in_state(table, "dead"), table.c.account == account)
    return query.where(*dead, table.c.cause == code, died > after, died <= until)


def told(connection: Connection, account: str) -> dict[str, Told]:
    """What was told of the account, by subject."""
    rows = connection.execute(select(alerts).where(alerts.c.account == account))
    return {found.subject: found for found in map(_told, rows)}


def _told(row: Row[*tuple[Any, ...]]) -> Told:
    subject = key_of(row.account, row.subject)
    return Told(row.account, subject, row.since, row.told_until, row.next_at, row.failures)


def lock(connection: Connection, account: str, subject: str) -> Told:
    """What was told of this subject of the account; nobody else can tell it before the transaction ends."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    stored = {"subject": key_in(account, subject), "account": account}
    connection.execute(dialect.insert(alerts).on_conflict_do_nothing(), [stored])
    query = select(alerts).where(alerts.c.subject == stored["subject"])
    return _told(connection.execute(query.with_for_update()).one())


def save(connection: Connection, told: Told) -> None:
    """Write down what was told; the subject must have been locked before."""
    connection.execute(
        update(alerts)
        .where(alerts.c.subject == key_in(told.account, told.subject))
        .values(since=told.since, told_until=told.told_until, next_at=told.next_at, failures=told.failures)
    )
