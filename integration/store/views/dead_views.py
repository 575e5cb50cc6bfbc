"""Dead letters by cause, as people look at them: how many, since when, an example, and the cure.

By the partial indexes `events_dead_of_account` and `leads_dead_of_account` (account, cause, id), which
hold only what is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, select

from integration.core.values import Cause, Micros
from integration.store.dead_rows import Kind as LetterKind
from integration.store.many import one_of
from integration.store.tables import events, in_state, leads, requests
from integration.store.views.columns import Column, Kind, View


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """All dead letters of one kind and cause.

    `oldest` and `newest` are when events arrived, or since when leads fail. `example` is the id of the
    newest one, and `cause` is what is said of it.
    """

    account: str
    kind: LetterKind
    cause: Cause
    count: int
    oldest: Micros
    newest: Micros
    example: str


DEAD: View[DeadGroup] = View(
    "dead",
    (
        Column("kind", "", lambda group: group.kind),
        Column("cause", "", lambda group: group.cause.code),
        Column("count", "", lambda group: group.count),
        Column("detail", "example", lambda group: group.cause.detail),
        Column("cure", "cure", lambda group: group.cause.cure),
        Column("oldest", "oldest", lambda group: group.oldest, kind=Kind.TIME),
        Column("newest", "newest", lambda group: group.newest, kind=Kind.TIME),
        Column(
            "example",
            "see it",
            lambda group: group.example,
            lambda group: f"leadwire dead show {group.example}",
        ),
        Column("account", "", lambda group: group.account),
        Column("", "retry", lambda group: f"leadwire dead retry --cause {group.cause.code}"),
    ),
)


def dead_groups(connection: Connection, account: str) -> list[DeadGroup]:
    """The account's dead letters by kind and cause, the largest groups first."""
    groups = [*_event_groups(connection, account), *_lead_groups(connection, account)]
    return sorted(groups, key=lambda group: (-group.count, group.kind, group.cause.code))


def _event_groups(connection: Connection, account: str) -> list[DeadGroup]:
    ends = (
        func.count().label("number"),
        func.min(events.c.id).label("first"),
        func.max(events.c.id).label("last"),
    )
    groups = connection.execute(
        _of_cause(select(events.c.cause, *ends), _dead_in(account, events), events.c.cause)
    ).all()
    wanted = {id for group in groups for id in (group.first, group.last)}
    found = {
        row.id: row
        for row in connection.execute(
            select(events.c.id, events.c.detail, events.c.cure, requests.c.received_at)
            .join(requests, requests.c.id == events.c.request_id)
            .where(one_of(events.c.id, wanted))
        )
    }
    return [
        DeadGroup(
            account, "event",
            Cause(group.cause, found[group.last].detail or "", found[group.last].cure or ""),
            group.number, found[group.first].received_at, found[group.last].received_at, group.last,
        )
        for group in groups
    ]  # fmt: skip


def _lead_groups(connection: Connection, account: str) -> list[DeadGroup]:
    since = func.coalesce(leads.c.failing_since, leads.c.updated_at)
    ends = (
        func.count().label("number"),
        func.min(since).label("oldest"),
        func.max(since).label("newest"),
        func.max(leads.c.id).label("last"),
    )
    groups = connection.execute(
        _of_cause(select(leads.c.cause, *ends), _dead_in(account, leads), leads.c.cause)
    ).all()
    last = {group.last for group in groups}
    examples = select(leads.c.id, leads.c.detail, leads.c.cure).where(one_of(leads.c.id, last))
    found = {row.id: row for row in connection.execute(examples)}
    return [
        DeadGroup(
            account, "lead",
            Cause(group.cause, found[group.last].detail or "", found[group.last].cure or ""),
            group.number, group.oldest, group.newest, group.last,
        )
        for group in groups
    ]  # fmt: skip


def _dead_in(account: str, table: Table) -> ColumnElement[bool]:
    return and_(in_state(table, "dead"), table.c.account == account)


def _of_cause(query: Select[Any], dead: ColumnElement[bool], cause: ColumnElement[Any]) -> Select[Any]:
    return query.where(dead, cause.is_not(None)).group_by(cause)
