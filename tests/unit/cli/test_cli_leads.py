"""`leadwire leads`: the list, and one lead with every field's history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.core.values import Cause, Outcome
from integration.store.engine import Store
from tests.engine import Engine, running
from tests.unit.cli.conftest import Run, lines

PLACE = "mappings/shop/mapping.yaml"


@pytest.fixture
def engine(shop_store: Store, shop: Path) -> Iterator[Engine]:
    with running(shop_store, shop.parent.parent) as engine:
        yield engine


def test_leads_newest_first_with_what_is_unsent(engine: Engine, run: Run) -> None:
    engine.post({"id": "a", "guid": "ann", "city": "Rome"})
    engine.work()
    engine.post({"id": "b", "guid": "bob", "city": "Oslo", "score": 1})
    engine.translate()
    bob, ann = lines(run("leads").output)[-2:]
    assert bob.split()[1:] == [
        "bob", "due", "2025-11-24", "16:00", "city,", "score", "for", "its", "turn",
    ]  # fmt: skip
    assert ann.split()[1:] == ["ann", "clean", "-", "-", "-"]


def test_a_page_tells_how_to_get_the_next_one(engine: Engine, run: Run) -> None:
    for guid in ("ann", "bob"):
        engine.post({"id": guid, "guid": guid, "city": "Rome"})
        engine.work()
    bob, ann = engine.lead("bob").id, engine.lead("ann").id
    assert lines(run("leads", "--limit", "1").output)[-1] == f"For the next page, add --before {bob}"
    found = json.loads(run("leads", "--limit", "1", "--before", bob, "--json").output)
    assert [lead["id"] for lead in found["leads"]] == [ann]
    assert json.loads(run("leads", "--json").output)["next"] is None


@pytest.mark.usefixtures("shop_store")
def test_nothing_to_show(run: Run) -> None:
    assert run("leads").output == "There are no such leads.\n"
    missing = run("leads", "show", "nobody")
    assert missing.exit_code == 2
    assert "there is no lead 'nobody'; `leadwire leads` lists them" in missing.stderr


def test_one_lead_tells_where_each_value_comes_from(engine: Engine, run: Run) -> None:
    event = engine.post({"id": "a", "guid": "ann", "email": "ann@example.com", "city": "Rome"}) + "-0"
    engine.work()
    engine.hubspot.outcome = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", "wait"))
    later = engine.post({"id": "b", "guid": "ann", "score": 3}) + "-0"
    engine.work()
    text = run("leads", "show", "ann@example.com").output
    cells = {line.split()[0]: line.split() for line in lines(text)}
    assert cells["city"][1:4] == ['"Rome"', '"Rome"', "latest"]
    assert cells["city"][6:8] == [event, f"{PLACE}:16"]
    assert cells["score"][1:5] == ["3", "not", "known", "sum"]
    assert cells["score"][7:9] == [later, f"{PLACE}:17"]
    assert ["guid", "ann"] in cells.values()
    assert cells["cause"] == ["cause", "HubSpot", "answered", "500"]
    attempts = [line.split()[2:4] for line in text.split("Last attempts")[1].splitlines() if "2025-" in line]
    assert attempts == [["500", "again"], ["200", "done"]]


def test_one_lead_as_json(engine: Engine, run: Run) -> None:
    event = engine.post({"id": "a", "guid": "ann", "city": "Rome", "score": 2}) + "-0"
    engine.work()
    engine.post({"id": "b", "guid": "ann", "score": 3})
    engine.translate()
    found = json.loads(run("leads", "show", "guid=ann", "--json").output)
    version = engine.state("ann")["city"].mapping_version
    assert found["identifiers"] == {"guid": "ann"}
    assert (found["state"], found["unsent"], found["cause"]) == ("due", {"score": 5}, None)
    assert found["fields"]["city"] == {
        "value": "Rome",
        "hubspot_has": "Rome",
        "write": "latest",
        "occurred_at": "2025-11-24T16:00:01Z",
        "event": event,
        "place": f"{PLACE}:16",
        "mapping_version": version,
    }
    assert found["fields"]["score"]["hubspot_has"] == 2
    assert [attempt["fields"] for attempt in found["attempts"]] == [{"city": "Rome", "score": 2}]


def test_linking_says_what_it_did(engine: Engine, run: Run) -> None:
    engine.post({"id": "a", "guid": "ann", "city": "Rome"})
    engine.post({"id": "b", "email": "ann@example.com", "score": 1})
    engine.post({"id": "c", "guid": "bob", "city": "Oslo"})
    engine.work()
    linked = run("leads", "link", "email=ann@example.com", "ann")
    assert linked.output == "Linked: the lead that it meant before is one with this now.\n"
    assert run("leads", "link", "email=ann@example.com", "ann").output == "It was linked already.\n"
    moved = run("leads", "link", "email=ann@example.com", "bob")
    assert moved.output == (
        "Linked: only the identifier moved, as HubSpot knows the two leads by different ids.\n"
    )
    engine.post({"id": "d", "guid": "ann", "email": "ann@example.com", "city": "Lima"})
    engine.work()
    assert run("leads", "unlink", "email=ann@example.com").output == "Forgotten. 1 event tried again.\n"
    found = json.loads(run("leads", "link", "customer=cus_1", "ann", "--json").output)
    assert (found["how"], found["retried"]) == ("added", 0)


@pytest.mark.usefixtures("shop_store")
def test_linking_says_what_is_wrong(run: Run) -> None:
    assert "there is no lead 'nobody'" in run("leads", "link", "email=a@example.com", "nobody").stderr
    assert "expected KIND=VALUE, as email=ann@example.com" in run("leads", "unlink", "email").stderr
    assert "no lead is known by email=a@example.com" in run("leads", "unlink", "email=a@example.com").stderr
