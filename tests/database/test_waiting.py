"""What leads wait for: counted, listed and told, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from integration.core.settings import RateLimit
from integration.core.values import Cause, Outcome
from integration.hubspot.outcomes import not_found
from integration.lead.record import NOT_FOUND_CAUSES, RecordState
from integration.store import budget
from integration.store.budget import Pause
from integration.store.views.lead_views import LEADS, find_lead, lead_details, lead_page, list_leads
from integration.store.views.status_view import STATUS, read_status
from integration.store.views.waiting import WaitsFor, waits_for
from integration.web.gauges import gauges
from tests.engine import DAY, SECOND, Engine

FAILED = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", "nothing to do"))
REFUSED = Outcome("set_aside", 400, Cause("refused_by_hubspot", "HubSpot answered 400", "correct it"))


@pytest.fixture
def leads(engine: Engine) -> dict[str, str]:
    """A lead in each state; the id of each by its name."""
    engine.post({"id": "clean", "guid": "clean", "city": "Rome"})
    engine.work()
    engine.post({"id": "key", "customer": "cus_1", "city": "Rome"})
    engine.post({"id": "mail", "email": "nobody@example.com", "city": "Rome"})
    engine.work()
    outcomes = {"dead": REFUSED, "new": not_found("404", "lead_not_found"), "failing": FAILED}
    for name, outcome in outcomes.items():
        engine.hubspot.outcome = outcome
        engine.post({"id": name, "guid": name, "city": "Rome"})
        engine.work()
    engine.hubspot.outcome = Outcome("done", 200)
    engine.post({"id": "turn", "guid": "turn", "city": "Rome"})
    engine.translate()
    names = ("clean", "customer=cus_1", "nobody@example.com", "failing", "dead", "new", "turn")
    return {name: engine.lead(name).id for name in names}


def listed(engine: Engine, **wanted: Any) -> list[str]:
    with engine.store.read() as connection:
        found = list_leads(connection, now=engine.now, **{"limit": 9, **wanted})
    return [lead.record.id for lead in found]


def pause(engine: Engine) -> None:
    with engine.store.write() as connection:
        budget.ensure_slots(connection, 2)
        budget.pause(connection, Pause(engine.now + DAY, 1, "HubSpot answered 401"))


def test_leads_are_listed_by_what_they_wait_for(engine: Engine, leads: dict[str, str]) -> None:
    found = {what: set(listed(engine, what=what)) for what in WaitsFor}
    assert found == {
        WaitsFor.IDENTITY: {leads["customer=cus_1"], leads["nobody@example.com"], leads["new"]},
        WaitsFor.HUBSPOT: {leads["failing"]},
        WaitsFor.PAUSE: set(),
        WaitsFor.TURN: {leads["turn"]},
    }
    pause(engine)
    assert listed(engine, what=WaitsFor.PAUSE) == [leads["turn"]]
    assert listed(engine, what=WaitsFor.TURN) == []
    engine.now += 2 * DAY
    assert listed(engine, what=WaitsFor.TURN) == [leads["turn"]], "a pause that is over is none"


def test_leads_are_listed_by_state_and_cause(engine: Engine, leads: dict[str, str]) -> None:
    assert listed(engine, state=RecordState.CLEAN) == [leads["clean"]]
    assert listed(engine, state=RecordState.DEAD) == [leads["dead"]]
    assert listed(engine, state=RecordState.LEASED) == []
    waiting = {*leads.values()} - {leads["clean"], leads["dead"]}
    assert listed(engine, state=RecordState.DUE) == sorted(waiting, reverse=True)
    assert listed(engine, cause="hubspot_error") == [leads["failing"]]
    assert listed(engine, cause="refused_by_hubspot") == [leads["dead"]]
    assert listed(engine, cause="lead_not_found", state=RecordState.DEAD) == []
    assert listed(engine, cause="lead_not_found", what=WaitsFor.HUBSPOT) == []


def test_pages_of_several_causes_follow_each_other_without_a_gap(
    engine: Engine, leads: dict[str, str]
) -> None:
    whole, pages, before = listed(engine, state=RecordState.DUE), [], None
    assert len(whole) == len(leads) - 2
    while page := listed(engine, state=RecordState.DUE, limit=2, before=before):
        pages += page
        before = page[-1]
    assert pages == whole


def test_the_status_counts_what_leads_wait_for(engine: Engine, leads: dict[str, str]) -> None:
    assert leads
    assert told(engine)["waiting_for"] == {
        "identity": {"leads": 3, "causes": {"lead_not_found": 1, "unresolved": 2}},
        "hubspot": {"leads": 1, "causes": {"hubspot_error": 1}},
        "pause": {"leads": 0, "causes": {}},
        "turn": {"leads": 1, "causes": {}},
    }
    pause(engine)
    waiting = told(engine)["waiting_for"]
    assert (waiting["pause"]["leads"], waiting["turn"]["leads"]) == (1, 0)


def test_what_leads_wait_for_is_a_gauge(engine: Engine, leads: dict[str, str]) -> None:
    assert leads
    text = gauges(engine.store, engine.sources.current, engine.now).decode()
    assert 'leadwire_leads_waiting_for{what="identity"} 3.0' in text
    assert 'leadwire_leads_waiting_for{what="pause"} 0.0' in text


def test_the_status_tells_it_in_words(engine: Engine, leads: dict[str, str]) -> None:
    assert leads
    pause(engine)
    with engine.store.read() as connection:
        status = read_status(connection, engine.now, RateLimit(100, 10))
    (waiting,) = (column for column in STATUS.columns if column.name == "waiting_for")
    assert waiting.cell(status, engine.now) == (
        "3 to be found at HubSpot (lead_not_found, unresolved); 1 for HubSpot, which failed (hubspot_error); "
        "1 for the end of the pause; `leadwire leads --waiting-for identity` lists them"
    )


def test_a_lead_says_itself_what_it_waits_for(engine: Engine, leads: dict[str, str]) -> None:
    with engine.store.read() as connection:
        found = {name: find_lead(connection, id, engine.now) for name, id in leads.items()}
        details = lead_details(connection, leads["failing"], now=engine.now)
    assert details is not None
    told = {name: LEADS.as_json(lead)["waits_for"] for name, lead in found.items() if lead}
    assert told == {
        "clean": None, "dead": None, "customer=cus_1": "identity", "nobody@example.com": "identity",
        "new": "identity", "failing": "hubspot", "turn": "turn",
    }  # fmt: skip
    assert lead_page(details).content["waits_for"] == "hubspot"


def test_a_failing_lead_counts_as_failing_while_all_is_paused() -> None:
    assert waits_for(RecordState.DUE, "hubspot_error", paused=True) is WaitsFor.HUBSPOT
    assert waits_for(RecordState.LEASED, "hubspot_error", paused=False) is None
    assert {waits_for(RecordState.DUE, code, paused=True) for code in NOT_FOUND_CAUSES} == {WaitsFor.IDENTITY}


def told(engine: Engine) -> dict[str, Any]:
    with engine.store.read() as connection:
        return STATUS.as_json(read_status(connection, engine.now + SECOND, RateLimit(100, 10)))
