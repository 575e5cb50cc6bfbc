"""Each page of what people look at goes down its index, in the order that it needs, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from integration.core.values import MAIN_ACCOUNT, EventState
from integration.lead.record import RecordState
from integration.store import dead_rows
from integration.store.engine import Store
from integration.store.views import dead_views
from integration.store.views.event_views import EventFilter, list_events
from integration.store.views.lead_views import list_leads
from integration.store.views.request_views import list_rejected
from integration.store.views.waiting import WaitsFor, count_waiting
from tests.plans import plan_of

Query = Callable[[Connection], object]

EVENTS: list[tuple[EventFilter, str]] = [
    ({}, "primary"),
    ({"since": 1, "until": 1_900_000_000_000_000}, "primary"),
    ({"source": "s1"}, "events_by_source"),
    ({"source": "s1", "state": EventState.TRANSLATED}, "events_by_source"),
    ({"source": "s1", "type": "t1"}, "events_by_type"),
    ({"type": "t1"}, "events_by_type"),
    ({"type": "t1", "state": EventState.IGNORED}, "events_by_type"),
    ({"state": EventState.RECEIVED}, "events_received"),
    ({"state": EventState.TRANSLATED}, "events_settled"),
    ({"state": EventState.IGNORED}, "events_settled"),
    ({"state": EventState.DEAD, "source": "s1", "type": "t1"}, "events_settled|events_dead_of_account"),
    ({"state": EventState.DEAD, "cause": "c1"}, "events_dead_of_account"),
    ({"state": EventState.DEAD, "cause": "c1", "source": "s1"}, "events_dead_of_account"),
    ({"lead_id": "l1"}, "events_by_lead"),
    ({"lead_id": "l1", "source": "s1", "type": "t1", "state": EventState.DEAD, "since": 1}, "events_by_lead"),
]
LEADS: list[tuple[dict[str, Any], str]] = [
    ({}, "primary"),
    ({"state": RecordState.DEAD, "cause": "c1"}, "leads_dead_of_account"),
    ({"state": RecordState.DUE, "cause": "c1"}, "leads_due_by_cause"),
    ({"what": WaitsFor.TURN}, "leads_due_by_cause"),
    ({"what": WaitsFor.IDENTITY, "cause": "unresolved"}, "leads_due_by_cause"),
]
OTHERS: list[tuple[str, Query, str]] = [
    ("rejected", lambda c: list_rejected(c, MAIN_ACCOUNT, limit=9, before="z"), "requests_rejected_by_id"),
    (
        "rejected, reason",
        lambda c: list_rejected(c, MAIN_ACCOUNT, limit=9, reason="r", since=1),
        "requests_rejected_by_id",
    ),
    ("rejected, source", lambda c: list_rejected(c, MAIN_ACCOUNT, limit=9, source="s1"), "requests_rejected"),
    (
        "groups of events",
        lambda c: dead_views._event_groups(c, MAIN_ACCOUNT),
        "events_dead_of_account|events_dead_of_account_by_time",
    ),
    (
        "groups of leads",
        lambda c: dead_views._lead_groups(c, MAIN_ACCOUNT),
        "leads_dead_of_account|leads_dead_of_account_by_time",
    ),
    (
        "retry of events",
        lambda c: dead_rows.retry_events(c, MAIN_ACCOUNT, "c1", "0", 9, source=None),
        "events_dead_of_account",
    ),
    (
        "retry of leads",
        lambda c: dead_rows.retry_leads(c, MAIN_ACCOUNT, "c1", "0", 9, now=1, lead_id=None),
        "leads_dead_of_account",
    ),
    ("what leads wait for", lambda c: count_waiting(c, MAIN_ACCOUNT, paused=False), "leads_due_by_cause"),
]


def _of_events(wanted: EventFilter) -> Query:
    return lambda connection: list_events(connection, MAIN_ACCOUNT, limit=9, before="z", **wanted)


def _of_leads(wanted: dict[str, Any]) -> Query:
    return lambda connection: list_leads(connection, MAIN_ACCOUNT, now=0, limit=9, before="z", **wanted)


CASES: list[tuple[str, Query, str]] = [
    *((f"events {wanted}", _of_events(wanted), index) for wanted, index in EVENTS),
    *((f"leads {wanted}", _of_leads(wanted), index) for wanted, index in LEADS),
    *OTHERS,
]
PRIMARY = {"events": "sqlite_autoindex_events_1|events_pkey", "leads": "sqlite_autoindex_leads_1|leads_pkey"}


def test_each_query_goes_down_its_index_and_sorts_nothing(store: Store) -> None:
    _fill(store)
    if store.is_sqlite:  # nobody gives it statistics, but whoever does shall have the same
        assert _wrong_plans(store) == {}
    with store.write() as connection:
        for table in ("requests", "events", "leads"):
            connection.execute(text(f"ANALYZE {table}"))
    assert _wrong_plans(store) == {}


def _wrong_plans(store: Store) -> dict[str, str]:
    plans = {name: (plan_of(store, query, first=_orders_or_groups), index) for name, query, index in CASES}
    return {name: plan for name, (plan, index) in plans.items() if not _is_as_wanted(index, plan)}


def _is_as_wanted(index: str, plan: str) -> bool:
    wanted = "|".join(PRIMARY.values()) if index == "primary" else index
    uses = re.search(
        rf"(INDEX|Index Scan using|Index Scan Backward using|Index Only Scan .*) ({wanted})\b", plan
    )
    return bool(uses) and "TEMP B-TREE" not in plan and "Sort" not in plan and "HashAggregate" not in plan


def _fill(store: Store) -> None:
    """So many rows of so many kinds that PostgreSQL's planner wants an index, and knows which."""
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) "
    state = "CASE n % 5 WHEN 0 THEN 'dead' WHEN 1 THEN 'received' WHEN 2 THEN 'ignored' ELSE 'translated' END"
    requests = (
        "INSERT INTO requests (id, source, received_at, reason, client, method, url, headers, body_size) "
        f"{numbers} SELECT 'r' || n, 's' || (n % 50), 1, CASE n % 9 WHEN 0 THEN 'r' END, '', '', '', "
        "'{}', 0 FROM numbers"
    )
    events = (
        "INSERT INTO events (id, request_id, position, source, dedup_key, type, state, cause, lead_id) "
        f"{numbers} SELECT 'r' || n || '-0', 'r' || n, 0, 's' || (n % 50), 'k' || n, 't' || (n % 70), "
        f"{state}, CASE n % 5 WHEN 0 THEN 'c' || (n % 100) END, 'l' || (n % 300) FROM numbers"
    )
    leads = (
        "INSERT INTO leads (id, state, document, updated_at, cause) "
        f"{numbers} SELECT 'l' || n, CASE n % 2 WHEN 0 THEN 'dead' ELSE 'due' END, '{{}}', 1, "
        "CASE n % 3 WHEN 0 THEN NULL ELSE 'c' || (n % 100) END FROM numbers"
    )
    with store.write() as connection:
        for statement in (requests, events, leads):
            connection.execute(text(statement))


def _orders_or_groups(statement: str) -> bool:
    return "ORDER BY" in statement or "GROUP BY" in statement
