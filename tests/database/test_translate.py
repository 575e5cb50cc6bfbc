"""Translation over a real store: what a batch of events leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from integration.config.sources import Sources
from integration.core.values import MAIN_ACCOUNT, IncomingEvent, RawRequest
from integration.lead.merge import pending
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator, translate_events
from integration.store import identifiers
from integration.store.documents import read_fields
from integration.store.engine import Store
from integration.store.inbox import Arrival, store_arrivals

START = 1_764_000_000_000_000
MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, secrets: [SHOP_TOKEN]}
event: {id: id, type: type, time: {from: at, as: unix_seconds}}
lead: {guid: guid, email: email}
rules:
  - name: the city
    events: [moved]
    set: {city: city, score: {from: score, as: integer}}
"""


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    folder = tmp_path / "mappings" / "shop"
    folder.mkdir(parents=True)
    (folder / "mapping.yaml").write_text(MAPPING)
    return Sources(folder.parent, {"SHOP_TOKEN": "t"})


def arrival(number: int, **payload: object) -> Arrival:
    payload = {"id": f"evt_{number}", "type": "moved", "at": 1_764_000_000 + number} | payload
    request = RawRequest(MAIN_ACCOUNT,
        source="shop", method="POST", url="http://localhost/hooks/shop", query="", headers={},
        body=json.dumps(payload).encode(), received_at=START + number, redacted=True,
    )  # fmt: skip
    return Arrival(request, (IncomingEvent(0, f"evt_{number}", str(payload["type"]), None),))


def translated(store: Store, sources: Sources, *arrivals: Arrival) -> None:
    with store.write() as connection:
        store_arrivals(connection, arrivals)
    timing = BundleTiming.from_seconds(2, 10)
    translator = Translator(
        store, MAIN_ACCOUNT, sources, lambda: START, timing, worker="one", max_body_bytes=10_000
    )
    while translator.run_once():
        pass


def rows(store: Store, query: str) -> list[tuple[object, ...]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_events_of_one_lead_become_one_bundle(store: Store, sources: Sources) -> None:
    translated(
        store, sources,
        arrival(2, guid="g1", city="Paris"), arrival(1, guid="g1", city="Berlin", score=3),
    )  # fmt: skip

    ((document, state, due_at),) = rows(store, "SELECT document, state, due_at FROM leads")
    assert pending(read_fields(str(document))) == {"city": "Paris", "score": 3}
    assert (state, due_at) == ("due", START + 2_000_000)


def test_one_bad_event_is_set_aside_whole_and_the_others_go_on(store: Store, sources: Sources) -> None:
    translated(
        store, sources,
        arrival(1, guid="g1", city="Berlin", score="many"), arrival(2, guid="g1", city="Paris"),
    )  # fmt: skip

    assert rows(store, "SELECT state, cause FROM events ORDER BY dedup_key") == [
        ("dead", "wrong_type"),
        ("translated", None),
    ]
    ((document,),) = rows(store, "SELECT document FROM leads")
    assert pending(read_fields(str(document))) == {"city": "Paris"}


def test_an_email_finds_the_lead_that_an_earlier_event_tied_it_to(store: Store, sources: Sources) -> None:
    translated(store, sources, arrival(1, guid="g1", email="ann@example.com", city="Berlin"))
    translated(store, sources, arrival(2, email="ann@example.com", city="Paris"))

    assert rows(store, "SELECT count(*) FROM leads") == [(1,)]


def test_a_lead_found_by_email_first_gets_its_guid_later(store: Store, sources: Sources) -> None:
    translated(store, sources, arrival(1, email="ann@example.com", city="Berlin"))
    translated(store, sources, arrival(2, guid="g1", email="ann@example.com", score=1))

    ((lead_id,),) = rows(store, "SELECT id FROM leads")
    with store.read() as connection:
        found = identifiers.identifiers_of(connection, [str(lead_id)])
    assert found == {lead_id: {"guid": "g1", "email": "ann@example.com"}}


@pytest.mark.parametrize("at_once", [True, False])
def test_two_guids_are_never_one_lead_whatever_they_share(
    store: Store, sources: Sources, at_once: bool
) -> None:
    one = arrival(1, guid="g1", email="shared@example.com", city="Berlin")
    other = arrival(2, guid="g2", email="shared@example.com", city="Paris")
    if at_once:
        translated(store, sources, one, other)
    else:
        translated(store, sources, one)
        translated(store, sources, other)

    ((first,),) = rows(store, "SELECT value FROM identifiers WHERE kind = 'guid'")
    (dead,) = rows(store, "SELECT cause, detail FROM events WHERE state = 'dead'")
    why = {
        first: "its email is linked to it",
        {"g1": "g2", "g2": "g1"}[str(first)]: "this event says it itself",
    }
    said = "; ".join(f"guid '{guid}': {why[guid]}" for guid in ("g1", "g2"))
    assert dead == (
        "contradicting_identifiers",
        f"the event's identifiers mean different leads: {said}",
    )


def test_an_event_claimed_by_a_worker_that_died_is_taken_up_when_its_lease_is_over(
    store: Store, sources: Sources
) -> None:
    with store.write() as connection:
        store_arrivals(connection, [arrival(1, guid="g1", city="Berlin")])
    clock = [START]
    timing = BundleTiming.from_seconds(0, 0)
    dying = Translator(
        store, MAIN_ACCOUNT, sources, lambda: clock[0], timing, worker="one", max_body_bytes=10_000
    )
    other = Translator(
        store, MAIN_ACCOUNT, sources, lambda: clock[0], timing, worker="two", max_body_bytes=10_000
    )

    assert len(dying._claim()) == 1
    assert other.run_once() == 0
    clock[0] += 11_000_000
    assert other.run_once() == 1


def test_a_worker_whose_lease_ran_out_writes_nothing(store: Store, sources: Sources) -> None:
    with store.write() as connection:
        store_arrivals(connection, [arrival(1, guid="g1", city="Berlin")])
    clock = [START]
    timing = BundleTiming.from_seconds(0, 0)
    slow = Translator(
        store, MAIN_ACCOUNT, sources, lambda: clock[0], timing, worker="one", max_body_bytes=10_000
    )
    other = Translator(
        store, MAIN_ACCOUNT, sources, lambda: clock[0], timing, worker="two", max_body_bytes=10_000
    )
    claimed = slow._claim()
    clock[0] += 11_000_000
    other.run_once()
    before = rows(store, "SELECT event_id, lead_id, mapping_version FROM updates")

    slow._apply(translate_events(sources.current, claimed, 10_000))

    assert rows(store, "SELECT event_id, lead_id, mapping_version FROM updates") == before
    assert rows(store, "SELECT count(*) FROM leads") == [(1,)]
