"""What each source sent, for all sources at once and by indexes alone, on both databases."""

from __future__ import annotations

import re

from sqlalchemy import event, text

from integration.core.clock import new_id
from integration.core.values import MAIN_ACCOUNT, Cause, EventEnd, EventState, IncomingEvent, RawRequest
from integration.store import inbox
from integration.store.engine import Store
from integration.store.inbox import Arrival
from integration.store.views.source_views import SourceActivity, source_activities

NOW = 1_764_000_000_000_000
HOUR = 3600 * 1_000_000


def arrive(
    store: Store, source: str, hours_ago: int, *, type: str = "paid", reason: str | None = None
) -> str:
    """Store a request with one event, or a rejected one; returns the request's id."""
    request = RawRequest(MAIN_ACCOUNT,
        source=source, method="POST", url=f"/hooks/{source}", query="", headers={}, body=b"{}",
        received_at=NOW - hours_ago * HOUR,
    )  # fmt: skip
    found = (IncomingEvent(0, new_id(NOW), type, NOW),)
    arrival = Arrival(request, reason=reason, detail="why") if reason else Arrival(request, found)
    with store.write() as connection:
        return inbox.store_arrivals(connection, [arrival])[0].id


def die(store: Store, request_id: str) -> None:
    cause = Cause("wrong_type", "what", "cure")
    with store.write() as connection:
        settled = EventEnd(f"{request_id}-0", EventState.DEAD, "paid", NOW, None, cause, "v1")
        inbox.end_events(connection, [settled], NOW)


def test_the_last_event_and_the_failures_of_the_last_day(store: Store) -> None:
    arrive(store, "stripe", 3, type="created")
    die(store, arrive(store, "stripe", 2))
    die(store, arrive(store, "stripe", 25))
    die(store, arrive(store, "shop", 30))
    for hours in (1, 2, 24, 26):
        arrive(store, "stripe", hours, reason="signature_mismatch")
    arrive(store, "silent", 1, reason="missing_header")
    with store.read() as connection:
        found = source_activities(connection, MAIN_ACCOUNT, ["stripe", "shop", "silent", "new"], NOW)
    assert found == {
        "stripe": SourceActivity(NOW - 2 * HOUR, "paid", rejected=3, dead=1),
        "shop": SourceActivity(NOW - 30 * HOUR, "paid"),
        "silent": SourceActivity(rejected=1),
        "new": SourceActivity(),
    }


def test_an_event_whose_request_is_pruned_has_its_type_still(store: Store) -> None:
    arrive(store, "stripe", 2)
    with store.write() as connection:
        connection.execute(text("DELETE FROM requests"))
    with store.read() as connection:
        assert source_activities(connection, MAIN_ACCOUNT, ["stripe"], NOW)["stripe"] == SourceActivity(
            None, "paid"
        )


def test_no_source_at_all_and_more_than_one_union_holds(store: Store) -> None:
    arrive(store, "s249", 1)
    names = [f"s{number}" for number in range(250)]
    with store.read() as connection:
        assert source_activities(connection, MAIN_ACCOUNT, [], NOW) == {}
        found = source_activities(connection, MAIN_ACCOUNT, names, NOW)
    assert list(found) == names
    assert found["s249"].last_event_type == "paid"


def test_three_queries_for_all_sources_none_of_which_scans_a_table(store: Store) -> None:
    fill(store)
    asked: list[tuple[str, object]] = []

    def keep(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    with store.read() as connection:
        source_activities(connection, MAIN_ACCOUNT, ["stripe", "shop", "silent"], NOW)
    event.remove(store.engine, "before_cursor_execute", keep)
    assert len(asked) == 3
    for (statement, parameters), index in zip(
        asked, ("requests_rejected", "events_settled|events_dead", "events_by_source"), strict=True
    ):
        plan = _plan(store, statement, parameters)
        assert re.search(index, plan), plan
        assert not re.search(r"SCAN (events|requests)(?! USING)|Seq Scan", plan), plan


def fill(store: Store) -> None:
    """Many rows, so that the planner has a reason to prefer an index."""
    die(store, arrive(store, "stripe", 1))
    arrive(store, "stripe", 1, reason="signature_mismatch")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    requests = (
        f"INSERT INTO requests (id, source, received_at, client, method, url, headers, body_size) {numbers} "
        "SELECT '01A' || i, 'stripe', 1, '', 'POST', '', '{}', 0 FROM n"
    )
    events = (
        f"INSERT INTO events (id, request_id, position, source, dedup_key, state) {numbers} "
        "SELECT '01A' || i || '-0', '01A' || i, 0, 'stripe', 'k' || i, 'translated' FROM n"
    )
    with store.write() as connection:
        for statement in (requests, events, "ANALYZE requests", "ANALYZE events"):
            connection.execute(text(statement))


def _plan(store: Store, statement: str, parameters: object) -> str:
    explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    with store.read() as connection:
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
        return "\n".join(str(row[-1]) for row in rows)


def test_a_rejected_request_is_not_an_event(store: Store) -> None:
    arrive(store, "shop", 1, reason="bad_json")
    with store.read() as connection:
        assert source_activities(connection, MAIN_ACCOUNT, ["shop"], NOW)["shop"].last_event_at is None
