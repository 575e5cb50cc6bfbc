"""Retention: what is old and settled goes, in small steps; its effect, and the knowledge of it, stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from integration.core.clock import first_id_at
from integration.core.values import MAIN_ACCOUNT, Cause, Outcome
from integration.operate import retention
from integration.pipeline.replay import Counts
from integration.store import history, records
from integration.store.views.request_views import find_request
from tests.engine import DAY, SECOND, START, Engine

ANN = {"guid": "ann"}


def kept(engine: Engine, *request_ids: str) -> list[bool]:
    with engine.store.read() as connection:
        return [find_request(connection, MAIN_ACCOUNT, id) is not None for id in request_ids]


def count(engine: Engine, table: str) -> int:
    with engine.store.read() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def test_old_settled_requests_go_in_small_steps(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = [engine.post({"id": f"a{number}", **ANN, "score": 1}) for number in range(5)]
    engine.work()
    engine.now += 31 * DAY
    young = engine.post({"id": "b", **ANN, "score": 1})
    engine.work()
    steps = engine.prune()
    assert kept(engine, *old, young) == [False] * 5 + [True]
    assert (count(engine, "events"), count(engine, "updates")) == (6, 1)
    assert steps == 4, "three for the requests, one for their single attempt"


def test_sums_survive_pruning_replay_and_rebuilding(engine: Engine) -> None:
    for number in range(3):
        engine.post({"id": f"a{number}", **ANN, "score": 10, "town": "Rome"})
    engine.work()
    engine.now += 31 * DAY
    engine.prune()
    engine.post({"id": "b", **ANN, "score": 5, "town": "Ostia"})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    assert engine.replay() == Counts(events=1, matched=1, changed=1, leads=1), (
        "what is pruned is not replayed"
    )
    assert engine.engine.count(history.Selection()) == 1
    assert engine.work() == [("ann", {"city": "Ostia"})]
    assert engine.values("ann") == {"city": "Ostia", "score": 35}


def test_pruning_twice_counts_once(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "score": 10})
    engine.work()
    engine.now += 31 * DAY
    engine.post({"id": "b", **ANN, "score": 5})
    engine.work()
    for _ in range(2):
        engine.now += 31 * DAY
        engine.prune()
    with engine.store.write() as connection:
        records.mark_for_rebuild(connection, [engine.lead("ann").id])
    assert engine.work() == []
    assert engine.values("ann") == {"score": 15}


def test_a_late_duplicate_is_still_known(engine: Engine) -> None:
    first = engine.post({"id": "a", **ANN, "score": 10})
    engine.work()
    engine.now += 31 * DAY
    engine.prune()
    assert engine.post({"id": "a", **ANN, "score": 10}) == first
    assert engine.work() == []
    assert engine.values("ann") == {"score": 10}


def test_events_go_after_twice_the_time(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "score": 10})
    engine.work()
    engine.now += 31 * DAY
    engine.prune()
    assert count(engine, "events") == 1
    engine.now += 30 * DAY
    engine.prune()
    assert count(engine, "events") == 0
    assert engine.values("ann") == {"score": 10}


def _unsent(engine: Engine) -> None:
    engine.translate()


def _dead_lead(engine: Engine) -> None:
    engine.hubspot.outcome = Outcome("set_aside", 400, Cause("refused_by_hubspot", "no", "fix"))
    engine.work()


def _untranslated(_: Engine) -> None:
    pass


def _dead_event(engine: Engine) -> None:
    engine.change_mapping("from: score, write: sum", "value: many, write: sum, as: decimal")
    engine.translate()


def _to_be_rebuilt(engine: Engine) -> None:
    engine.work()
    with engine.store.write() as connection:
        records.mark_for_rebuild(connection, [engine.lead("ann").id])


@pytest.mark.parametrize("leave", [_unsent, _dead_lead, _untranslated, _dead_event, _to_be_rebuilt])
def test_what_is_not_settled_stays(engine: Engine, leave: Callable[[Engine], None]) -> None:
    request_id = engine.post({"id": "a", **ANN, "score": 10})
    leave(engine)
    engine.now += 100 * DAY
    engine.prune()
    assert kept(engine, request_id) == [True]
    assert count(engine, "events") == 1


def test_what_changed_since_it_was_chosen_stays(engine: Engine) -> None:
    request_id = engine.post({"id": "a", **ANN, "score": 10})
    engine.work()
    with engine.store.read() as connection:
        chosen = history.old_requests(connection, engine.now + DAY, "", 10)
    with engine.store.write() as connection:
        assert history.lock_prunable(connection, chosen) == chosen == [request_id]
    engine.post({"id": "b", **ANN, "score": 1})
    engine.translate()
    with engine.store.write() as connection:
        assert history.lock_prunable(connection, chosen) == []


def test_a_request_goes_only_whole(engine: Engine) -> None:
    engine.change_mapping("event:\n", "event:\n  each: items\n")
    item = {"type": "paid", "at": START // SECOND, **ANN}
    mixed = engine.post({"items": [{**item, "id": "1", "score": 1}, {**item, "id": "2", "score": "many"}]})
    neighbour = engine.post({"items": [{**item, "id": str(number), "score": 1} for number in range(3, 15)]})
    engine.work()
    engine.now += 31 * DAY
    engine.prune()
    assert kept(engine, mixed, neighbour) == [True, False]
    with engine.store.write() as connection:
        records.mark_for_rebuild(connection, [engine.lead("ann").id])
    engine.work()
    assert engine.values("ann") == {"score": 13}


def test_rejected_requests_and_attempts_go_too(engine: Engine) -> None:
    engine.post({"id": "a", **ANN}, token="forged")
    engine.post({"id": "b", **ANN, "score": 1})
    engine.work()
    engine.now += 31 * DAY
    engine.prune()
    assert (count(engine, "requests"), count(engine, "attempts")) == (0, 0)


def test_finding_what_can_go_looks_events_up_by_their_ids(engine: Engine) -> None:
    if not engine.store.is_sqlite:
        return  # its planner scans tables as small as these
    statements: list[str] = []
    with engine.store.read() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(statements.append)
        history.old_requests(connection, engine.now, first_id_at(START), 10)
        history.lock_prunable(connection, [first_id_at(START)])
        history.updates_of_requests(connection, [first_id_at(START)])
        driver.set_trace_callback(None)
        plans = [
            str(row[3])
            for statement in statements
            for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))
        ]
    scans = [line for line in plans if line.startswith("SCAN") and "json_each VIRTUAL TABLE" not in line]
    assert not scans, plans
