"""Alerts: each cause is told once, with the numbers of what came since, whatever posts and workers do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from integration.core.values import Cause, Outcome
from integration.operate.alerts import Alerts, NotTaken
from integration.operate.dead_letters import Letters, retry_dead
from integration.store import alert_rows as stored
from integration.store.ages import Ages, read_ages
from integration.store.engine import Store
from integration.web.gauges import gauges
from tests.engine import DAY, SECOND, Engine

REFUSED = Cause("refused_by_hubspot", "HubSpot answered 400: no such city", "correct the mapping, then retry")
TOKEN_REFUSED = Cause("token_refused", "HubSpot answered 401", "set a valid HUBSPOT_ACCESS_TOKEN")
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Chat:
    """Where alerts are posted; fails with `failure` as long as that is set."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.failure: str | None = None
        self.retry_after: float | None = None
        self.tried = 0

    def post(self, message: Mapping[str, object]) -> NotTaken | None:
        self.tried += 1
        if self.failure is None:
            self.messages.append(message)
        return None if self.failure is None else NotTaken(self.failure, self.retry_after)

    @property
    def last(self) -> Mapping[str, Any]:
        return self.messages[-1]


class Watched:
    """An engine whose alerts go to a chat, as a worker would look after `seconds`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.chat = Chat()
        self.alerts = self.worker()

    def worker(self) -> Alerts:
        """A worker of its own: a restarted one, or another."""
        return Alerts(self.engine.store, lambda: self.engine.now, self.chat.post)

    def look(self, after: int = 30 * SECOND) -> list[Mapping[str, Any]]:
        """What is told when a worker looks so much later."""
        self.engine.now += after
        before = len(self.chat.messages)
        self.alerts.step(lambda: False)
        return self.chat.messages[before:]


@pytest.fixture
def watched(engine: Engine) -> Watched:
    return Watched(engine)


def dead_events(engine: Engine, *names: str) -> list[str]:
    """Dead events of one cause; returns their ids."""
    ids = [engine.post({"id": name, "guid": "ann", "score": "many"}) for name in names]
    engine.translate()
    return [f"{id}-0" for id in ids]


def dead_lead(engine: Engine, guid: str) -> str:
    engine.hubspot.outcome = Outcome("set_aside", 400, REFUSED)
    engine.post({"id": f"of {guid}", "guid": guid, "city": "Romme"})
    engine.work()
    engine.hubspot.outcome = Outcome("done", 200)
    return engine.lead(guid).id


def test_many_dead_letters_of_one_cause_are_one_message_with_cause_cure_and_example(watched: Watched) -> None:
    ids = dead_events(watched.engine, *"abcde")
    (message,) = watched.look()
    assert (message["alert"], message["kind"], message["cause"]) == ("dead_letters", "event", "invalid_field")
    assert (message["count"], message["example"]) == (5, ids[-1])
    assert "sets score to 'many'" in message["detail"]
    assert message["cure"]
    assert message["command"] == "leadwire dead --cause invalid_field"
    assert message["text"].startswith("Leadwire: 5 dead letters since 2025-")
    for part in ("invalid_field", "sets score to 'many'", message["command"]):
        assert part in message["text"]
    assert watched.look() == []


def test_each_cause_of_events_and_leads_is_told(watched: Watched) -> None:
    dead_events(watched.engine, "a")
    lead_id = dead_lead(watched.engine, "bob")
    watched.engine.post({"id": "b", "city": "Rome"})
    watched.engine.translate()
    messages = watched.look()
    assert {(m["kind"], m["cause"], m["count"]) for m in messages} == {
        ("event", "invalid_field", 1), ("event", "missing_lead", 1), ("lead", "refused_by_hubspot", 1),
    }  # fmt: skip
    (of_lead,) = (m for m in messages if m["kind"] == "lead")
    assert (of_lead["example"], of_lead["detail"], of_lead["cure"]) == (lead_id, REFUSED.detail, REFUSED.cure)


def test_while_it_goes_on_a_cause_is_told_once_an_hour_with_what_came_since(watched: Watched) -> None:
    dead_events(watched.engine, "a", "b")
    assert len(watched.look()) == 1
    told: list[Mapping[str, Any]] = []
    for number in range(20):
        dead_events(watched.engine, f"more {number}")
        told += watched.look(4 * MINUTE)
    assert [message["count"] for message in told] == [15]
    told = watched.look(HOUR)
    assert [message["count"] for message in told] == [5]
    assert watched.look(2 * HOUR) == [], "nothing came since"


def test_a_letter_that_is_tried_again_and_dies_again_is_news(watched: Watched) -> None:
    dead_lead(watched.engine, "bob")
    assert len(watched.look()) == 1
    watched.engine.now += HOUR
    watched.engine.hubspot.outcome = Outcome("set_aside", 400, REFUSED)
    retry_dead(watched.engine.store, lambda: watched.engine.now, Letters(), lambda _: None)
    watched.engine.deliver()
    assert [message["count"] for message in watched.look()] == [1]


def test_an_event_that_dies_long_after_it_arrived_is_told(watched: Watched) -> None:
    late = watched.engine.post({"id": "late", "guid": "ann", "score": "many"})
    watched.engine.now += HOUR
    watched.engine.change_mapping("score: {from: score, write: sum}", "score: {from: score, as: integer}")
    watched.engine.translate()
    (message,) = watched.look()
    assert (message["cause"], message["example"]) == ("wrong_type", f"{late}-0")


def test_a_letter_whose_transaction_is_not_committed_yet_is_told_by_a_later_look(watched: Watched) -> None:
    dead_events(watched.engine, "a")
    assert watched.look(SECOND) == [], "others of this second may not be visible yet"
    assert len(watched.look()) == 1


def test_a_receiver_that_asks_for_more_time_gets_it(watched: Watched) -> None:
    watched.chat.failure, watched.chat.retry_after = "the receiver answered 429", 7200.0
    dead_events(watched.engine, "a")
    watched.look()
    watched.chat.failure = None

    assert watched.look(HOUR) == []
    assert len(watched.look(HOUR)) == 1


def test_a_post_that_fails_is_tried_again_with_growing_pauses_and_loses_nothing(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.chat.failure = "the receiver answered 500"
    dead_events(watched.engine, "a")
    tries = []
    for _ in range(60):
        before = watched.chat.tried
        watched.look(30 * SECOND)
        tries.append(watched.chat.tried - before)
    moments = [number for number, tried in enumerate(tries) if tried]
    assert moments == [0, 1, 3, 7, 15, 31], "after 30 s, 1, 2, 4, 8 minutes, then every 15"
    failed = [line for line in caplog.records if line.leadwire_fields["action"] == "alert.failed"]  # type: ignore[attr-defined]
    assert failed[0].getMessage() == (
        "An alert could not be posted: the receiver answered 500. It is tried again in 30 s"
    )
    dead_events(watched.engine, "b")
    watched.chat.failure = None
    (message,) = watched.look(15 * MINUTE)
    assert message["count"] == 2
    assert watched.look(15 * MINUTE) == []


def test_a_restarted_worker_tells_nothing_twice(watched: Watched) -> None:
    dead_events(watched.engine, "a")
    assert len(watched.look()) == 1
    watched.alerts = watched.worker()
    assert watched.look() == []


def test_a_worker_that_dies_between_claim_and_post_leaves_the_alert_to_another(watched: Watched) -> None:
    def die(_: Mapping[str, object]) -> NotTaken | None:
        raise KeyboardInterrupt

    dead_events(watched.engine, "a")
    watched.engine.now += 30 * SECOND
    with pytest.raises(KeyboardInterrupt):
        Alerts(watched.engine.store, lambda: watched.engine.now, die).step(lambda: False)
    assert watched.look(SECOND) == [], "it may still be about to tell"
    assert len(watched.look(MINUTE)) == 1


def test_several_workers_that_look_at_once_tell_it_once(watched: Watched) -> None:
    dead_events(watched.engine, "a")
    watched.engine.now += 30 * SECOND
    barrier = threading.Barrier(4)

    def look() -> None:
        worker = watched.worker()
        barrier.wait()
        worker.step(lambda: False)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watched.chat.tried == 1


def test_a_worker_that_stops_tells_nothing_more(watched: Watched) -> None:
    dead_events(watched.engine, "a")
    watched.engine.now += 30 * SECOND
    watched.alerts.step(lambda: True)
    assert watched.chat.tried == 0


def test_without_a_webhook_alerts_are_logged(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    dead_events(engine, "a", "b")
    engine.now += 30 * SECOND
    silent = Alerts(engine.store, lambda: engine.now, None)
    silent.step(lambda: False)
    silent.step(lambda: False)
    raised = [line for line in caplog.records if line.leadwire_fields["action"] == "alert.raised"]  # type: ignore[attr-defined]
    (line,) = raised
    assert line.levelno == logging.ERROR
    assert (line.leadwire_fields["cause"], line.leadwire_fields["count"]) == ("invalid_field", 2)  # type: ignore[attr-defined]


def test_text_of_a_payload_cannot_call_people_in_a_chat(watched: Watched) -> None:
    watched.engine.post({"id": "a", "guid": "ann", "score": "<!channel> @all ann@example.com\n&"})
    watched.engine.translate()
    (message,) = watched.look()
    assert "&lt;!channel&gt; @\u200ball ann@example.com" in message["text"]
    assert "\n" not in message["text"]
    assert "<!channel> @all" in message["detail"], "for programs, as it is"


class TestDelivery:
    def pause(self, watched: Watched) -> None:
        watched.engine.hubspot.outcome = Outcome("stop", 401, TOKEN_REFUSED)
        watched.engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        watched.engine.work()

    def resume(self, watched: Watched) -> None:
        watched.engine.hubspot.outcome = Outcome("done", 200)
        watched.engine.now += 10 * MINUTE
        watched.engine.work()

    def test_a_refused_token_is_told_after_a_minute_and_so_is_its_end(self, watched: Watched) -> None:
        self.pause(watched)
        assert watched.look() == []
        assert watched.look() == []
        (message,) = watched.look()
        assert message["alert"] == "delivery_paused"
        assert message["text"].startswith("Leadwire: nothing is sent to HubSpot since 2025-")
        assert "HubSpot answered 401" in message["text"]
        assert "HUBSPOT_ACCESS_TOKEN" in message["cure"]
        assert message["command"] == "leadwire status"
        assert watched.look() == []
        self.resume(watched)
        (ended,) = watched.look()
        assert ended["alert"] == "delivery_resumed"
        assert ended["text"].startswith(
            "Leadwire: updates are sent to HubSpot again, after a pause since 2025-"
        )
        assert ended["since"] == message["since"]
        assert watched.look() == []

    def test_while_it_lasts_it_is_told_once_an_hour(self, watched: Watched) -> None:
        self.pause(watched)
        told = [message for _ in range(25) for message in watched.look(5 * MINUTE)]
        assert [message["alert"] for message in told] == ["delivery_paused"] * 2

    def test_a_pause_of_seconds_is_not_told(self, watched: Watched) -> None:
        self.pause(watched)
        assert watched.look() == []
        watched.engine.hubspot.outcome = Outcome("done", 200)
        watched.engine.now += 10 * SECOND
        assert watched.engine.work()
        assert watched.look() == []
        assert watched.look(HOUR) == []

    def test_a_second_pause_is_told_again(self, watched: Watched) -> None:
        self.pause(watched)
        watched.look()
        assert len(watched.look(MINUTE)) == 1
        self.resume(watched)
        assert len(watched.look()) == 1
        watched.engine.hubspot.outcome = Outcome("stop", 401, TOKEN_REFUSED)
        watched.engine.post({"id": "b", "guid": "ann", "city": "Oslo"})
        watched.engine.work()
        watched.look()
        assert [message["alert"] for message in watched.look(MINUTE)] == ["delivery_paused"]

    def test_an_end_that_could_not_be_posted_is_posted_later(self, watched: Watched) -> None:
        self.pause(watched)
        watched.look()
        watched.look(MINUTE)
        self.resume(watched)
        watched.chat.failure = "timed out"
        assert watched.look() == []
        watched.chat.failure = None
        assert [message["alert"] for message in watched.look(MINUTE)] == ["delivery_resumed"]


class TestLate:
    def test_an_event_that_nobody_translates_is_told_and_so_is_its_end(self, watched: Watched) -> None:
        watched.engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        assert watched.look(4 * MINUTE) == []
        assert watched.look(2 * MINUTE) == [], "a moment ago it was not late yet"
        (message,) = watched.look(MINUTE)
        assert message["alert"] == "events_late"
        assert message["since"] == "2025-11-24T16:00:01Z"
        assert message["text"].startswith(
            "Leadwire: the oldest untranslated event waits since 2025-11-24T16:00:01Z: no worker got through"
        )
        assert "worker.error" in message["cure"]
        assert watched.look(MINUTE) == [], "once"
        watched.engine.translate()
        (message,) = watched.look(0)
        assert message["alert"] == "events_late_over"
        assert watched.look(MINUTE) == []

    def test_a_lead_that_is_due_and_not_sent_is_told_and_so_is_its_end(self, watched: Watched) -> None:
        watched.engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        watched.engine.translate()
        watched.look(16 * MINUTE)
        (message,) = watched.look(MINUTE)
        assert (message["alert"], message["command"]) == ("leads_late", "leadwire status")
        watched.engine.deliver()
        assert [message["alert"] for message in watched.look(0)] == ["leads_late_over"]

    def test_while_deliveries_are_paused_only_the_pause_is_told(self, watched: Watched) -> None:
        watched.engine.hubspot.outcome = Outcome("stop", 401, TOKEN_REFUSED)
        watched.engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        watched.engine.work()
        told = [message["alert"] for _ in range(20) for message in watched.look(MINUTE)]
        assert told == ["delivery_paused"]

    def test_what_waits_on_purpose_is_not_late(self, watched: Watched) -> None:
        engine = watched.engine
        engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        engine.post({"id": "b", "guid": "bob", "city": "Rome"})
        later = engine.now + DAY
        with engine.store.write() as connection:
            connection.execute(text("UPDATE events SET leased_until = :at"), {"at": later})
            assert read_ages(connection, engine.now) == Ages(None, None)
            connection.execute(text("UPDATE events SET leased_by = 'w'"))
            assert read_ages(connection, engine.now).untranslated_since == engine.now - SECOND
            connection.execute(text("UPDATE events SET leased_by = NULL, leased_until = 0"))
        engine.translate()
        with engine.store.write() as connection:
            assert read_ages(connection, engine.now) == Ages(None, engine.now)
            connection.execute(text("UPDATE leads SET priority = 1"))
            assert read_ages(connection, engine.now) == Ages(None, None), "a replay's come last"
            connection.execute(text("UPDATE leads SET priority = 0, due_at = :at"), {"at": later})
            assert read_ages(connection, engine.now) == Ages(None, None)

    def test_the_ages_are_gauges(self, engine: Engine) -> None:
        engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        engine.translate()
        engine.post({"id": "b", "guid": "bob", "city": "Rome"})
        told = gauges(engine.store, engine.sources.current, engine.now + 60 * SECOND).decode()
        assert "leadwire_oldest_event_age_seconds 60.0" in told
        assert "leadwire_oldest_due_age_seconds 61.0" in told


def test_the_ages_are_found_by_an_index(store: Store) -> None:
    with store.write() as connection:
        _fill(connection)
        connection.execute(text("UPDATE events SET state = 'received' WHERE settled_at < 1000"))
        connection.execute(text("ANALYZE events"))
    asked = _statements(store, lambda: _read_ages(store))
    plans = [_plan(store, statement, parameters) for statement, parameters in asked]
    assert len(plans) == 2
    for plan, index in zip(plans, ("events_received", "leads_due"), strict=True):
        assert index in plan, plan
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan


def _read_ages(store: Store) -> Ages:
    with store.read() as connection:
        return read_ages(connection, 1)


def _statements(store: Store, work: Callable[[], object]) -> list[tuple[str, object]]:
    asked: list[tuple[str, object]] = []

    def keep(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    work()
    event.remove(store.engine, "before_cursor_execute", keep)
    return asked


def _fill(connection: Connection) -> None:
    """2,000 dead letters of each kind and of 20 causes; so many that PostgreSQL wants an index, too."""
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) "
    connection.execute(
        text(
            "INSERT INTO events (id, request_id, position, source, dedup_key, state, settled_at, cause) "
            f"{numbers} SELECT 'e' || n, 'r' || n, 0, 'shop', 'k' || n, 'dead', n, 'c' || (n % 20) "
            "FROM numbers"
        )
    )
    connection.execute(
        text(
            "INSERT INTO leads (id, state, document, updated_at, cause) "
            f"{numbers} SELECT 'l' || n, 'dead', '{{}}', n, 'c' || (n % 20) FROM numbers"
        )
    )
    for table in ("events", "leads"):
        connection.execute(text(f"ANALYZE {table}"))


@pytest.mark.parametrize("kind", ["event", "lead"])
def test_what_is_news_is_found_by_an_index_however_much_is_stored(store: Store, kind: Any) -> None:
    with store.write() as connection:
        _fill(connection)
    with store.read() as connection:
        asked = _statements(store, lambda: stored.news_of(connection, kind, "c7", 1900, 2000))
        news = stored.news_of(connection, kind, "c7", 1900, 2000)
    assert news is not None
    assert (news.count, news.oldest, news.example) == (5, 1907, f"{kind[0]}1987")
    assert len(asked) == 2
    for statement, parameters in asked:
        plan = _plan(store, statement, parameters)
        assert f"{kind}s_dead_by_time" in plan, plan


def _plan(store: Store, statement: str, parameters: object) -> str:
    explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    with store.write() as connection:
        if not store.is_sqlite:
            # its planner scans tables as small as these, unless it must not
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
        return "\n".join(str(row[-1]) for row in rows)


def test_a_look_asks_one_small_question_for_each_cause(store: Store) -> None:
    with store.write() as connection:
        _fill(connection)
    with store.read() as connection:
        found: list[object] = []
        asked = _statements(store, lambda: found.extend(stored.causes(connection)))
    assert len(found) == 40
    assert len(asked) == 42
