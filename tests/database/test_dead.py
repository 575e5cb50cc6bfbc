"""Dead letters: grouped by cause, listed, and taken up again, on both databases."""

from __future__ import annotations

import pytest

from integration.core.settings import RateLimit
from integration.core.values import MAIN_ACCOUNT, Cause, EventState, Outcome
from integration.lead.record import RecordState
from integration.operate import dead_letters
from integration.operate.dead_letters import Letters, Retried, count_dead, retry_dead
from integration.store.views.dead_views import DeadGroup, dead_groups
from integration.store.views.event_views import list_events
from integration.store.views.lead_views import find_lead_id, list_leads
from integration.store.views.status_view import read_status
from tests.engine import DAY, SECOND, START, Engine

REFUSED = Cause("refused_by_hubspot", "HubSpot answered 400: no such city", "correct the mapping, then retry")


ALL = Letters()


def dead_event(engine: Engine, name: str) -> str:
    """A dead event; returns its id."""
    id = engine.post({"id": name, "guid": "ann", "score": "many"})
    engine.translate()
    return f"{id}-0"


def dead_lead(engine: Engine, guid: str, cause: Cause = REFUSED) -> str:
    """A dead lead; returns its id."""
    engine.hubspot.outcome = Outcome("set_aside", 400, cause)
    engine.post({"id": f"of {guid}", "guid": guid, "city": "Romme"})
    engine.work()
    engine.hubspot.outcome = Outcome("done", 200)
    assert engine.lead(guid).state == "dead"
    return engine.lead(guid).id


def retried(engine: Engine, letters: Letters = ALL) -> Retried:
    expected = count_dead(engine.store, MAIN_ACCOUNT, letters)
    done = retry_dead(engine.store, MAIN_ACCOUNT, lambda: engine.now, letters, lambda _: None)
    assert done == expected
    return done


def test_groups_have_count_ends_and_the_newest_as_example(engine: Engine) -> None:
    dead_event(engine, "a")
    newest = dead_event(engine, "b")
    lead_id = dead_lead(engine, "bob")
    with engine.store.read() as connection:
        of_events, of_leads = dead_groups(connection, MAIN_ACCOUNT)
    assert (of_events.kind, of_events.count, of_events.example) == ("event", 2, newest)
    assert (of_events.oldest, of_events.newest) == (START + SECOND, START + 2 * SECOND)
    assert "sets score to 'many'" in of_events.cause.detail
    assert of_events.cause.cure
    assert of_leads == DeadGroup(
        MAIN_ACCOUNT, "lead", REFUSED, 1, START + 3 * SECOND, START + 3 * SECOND, lead_id
    )


def test_letters_of_a_cause_come_newest_first_a_page_at_a_time(engine: Engine) -> None:
    events = [dead_event(engine, str(number)) for number in range(3)]
    leads = [dead_lead(engine, guid) for guid in ("bob", "cleo")]
    with engine.store.read() as connection:
        code = list_events(connection, MAIN_ACCOUNT, limit=1, state=EventState.DEAD)[0].cause.code  # type: ignore[union-attr]
        first = list_events(connection, MAIN_ACCOUNT, state=EventState.DEAD, cause=code, limit=2)
        second = list_events(
            connection, MAIN_ACCOUNT, state=EventState.DEAD, cause=code, limit=2, before=first[-1].id
        )
        lead_page = list_leads(
            connection, MAIN_ACCOUNT, now=0, state=RecordState.DEAD, cause=REFUSED.code, limit=1
        )
        lead_rest = list_leads(
            connection,
            MAIN_ACCOUNT,
            now=0,
            state=RecordState.DEAD,
            cause=REFUSED.code,
            limit=9,
            before=lead_page[0].record.id,
        )
        other = list_leads(connection, MAIN_ACCOUNT, now=0, state=RecordState.DEAD, cause="other", limit=9)
    assert [line.id for line in (*first, *second)] == events[::-1]
    assert [lead.record.id for lead in (*lead_page, *lead_rest)] == leads[::-1]
    assert other == []


class TestRetry:
    def test_events_are_translated_by_the_mapping_as_it_is_now(self, engine: Engine) -> None:
        dead_event(engine, "a")
        assert retried(engine) == Retried(events=1)
        assert engine.work() == [], "not fixed: dead again"
        engine.change_mapping("{from: score, write: sum}", "{value: 7, write: sum}")
        assert retried(engine) == Retried(events=1)
        assert engine.work() == [("ann", {"score": 7})]
        assert retried(engine) == Retried()

    def test_leads_are_due_at_once_and_have_their_full_time(self, engine: Engine) -> None:
        dead_lead(engine, "bob")
        engine.now += 5 * DAY
        assert retried(engine) == Retried(leads=1)
        lead = engine.lead("bob")
        assert (lead.state, lead.due_at, lead.attempts, lead.failing_since) == ("due", engine.now, 0, None)
        assert lead.cause is None
        engine.hubspot.outcome = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", ""))
        engine.deliver()
        assert engine.lead("bob").state == "due", "not given up for what failed before"
        engine.hubspot.outcome = Outcome("done", 200)
        engine.now += DAY
        assert engine.deliver() == [("bob", {"city": "Romme"})]

    def test_only_those_that_are_meant(self, engine: Engine) -> None:
        dead_event(engine, "a")
        bob, cleo = (
            dead_lead(engine, "bob"),
            dead_lead(engine, "cleo", Cause("lead_not_found", "404", "create")),
        )
        assert retried(engine, Letters(cause="other")) == Retried()
        assert retried(engine, Letters(source="nobody")) == Retried()
        assert retried(engine, Letters(source="shop", cause="lead_not_found")) == Retried()
        assert retried(engine, Letters(lead_id=bob)) == Retried(leads=1)
        assert retried(engine, Letters(cause="lead_not_found", lead_id=cleo)) == Retried(leads=1)
        assert retried(engine, Letters(source="shop")) == Retried(events=1)

    def test_many_go_in_small_steps_and_each_once(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead_letters, "BATCH", 2)
        for number in range(5):
            dead_event(engine, str(number))
        told: list[Retried] = []
        retry_dead(engine.store, MAIN_ACCOUNT, lambda: engine.now, Letters(), told.append)
        assert told == [Retried(2), Retried(4), Retried(5)]


def test_leads_are_listed_and_found_by_whatever_they_are_known_by(engine: Engine) -> None:
    engine.post({"id": "a", "guid": "ann", "email": "ann@example.com"})
    engine.now += SECOND
    engine.post({"id": "b", "guid": "bob"})
    engine.work()
    ann, bob = engine.lead("ann").id, engine.lead("bob").id
    with engine.store.read() as connection:
        known = ("ann", "Ann@Example.com", "guid=ann", "email=ann@example.com", ann)
        assert [find_lead_id(connection, MAIN_ACCOUNT, one) for one in known] == [ann] * 5
        assert find_lead_id(connection, MAIN_ACCOUNT, "nobody") is None
        assert {lead.record.id for lead in list_leads(connection, MAIN_ACCOUNT, now=0, limit=9)} == {ann, bob}
        (first,) = list_leads(connection, MAIN_ACCOUNT, now=0, limit=1)
        (second,) = list_leads(connection, MAIN_ACCOUNT, now=0, limit=1, before=first.record.id)
    assert {first.record.id, second.record.id} == {ann, bob}


def test_the_status_counts_what_waits_and_what_was_sent(engine: Engine) -> None:
    dead_event(engine, "a")
    dead_lead(engine, "bob")
    engine.now += DAY
    engine.post({"id": "b", "guid": "cleo", "city": "Rome"})
    engine.work()
    engine.post({"id": "c", "guid": "dora", "city": "Rome"})
    waiting_since = engine.now
    engine.translate()
    engine.now += 3 * SECOND
    engine.post({"id": "d", "guid": "eve", "city": "Rome"})
    with engine.store.read() as connection:
        status = read_status(connection, MAIN_ACCOUNT, engine.now + SECOND, RateLimit(100, 10))
    backlog = status.backlog
    assert (backlog.events_received, status.ages.untranslated_since) == (1, engine.now)
    assert (backlog.leads_waiting, backlog.leads_leased) == (1, 0)
    assert backlog.oldest_waiting_since == waiting_since, "what is dead does not wait"
    assert (sum(backlog.dead_events.values()), backlog.dead_leads) == (1, {"refused_by_hubspot": 1})
    assert (status.limit.requests, status.recent_requests) == (10_000, 1)
