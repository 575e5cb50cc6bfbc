"""Which lead an event is about: leads that turn out to be one, contradictions, and what HubSpot is asked."""

from __future__ import annotations

import threading

import pytest

from integration.core.values import MAIN_ACCOUNT, Outcome
from integration.lead.record import BundleTiming
from integration.operate.linking import link, unlink
from integration.pipeline.translate import Translator
from integration.store import identifiers, records
from integration.store.views.event_views import find_event, list_events
from tests.engine import DAY, MAPPING, MIB, REFUSED, SECOND, Engine


def known_by(engine: Engine, known: str) -> dict[str, str]:
    with engine.store.read() as connection:
        id = engine.lead(known).id
        return identifiers.identifiers_of(connection, [id])[id]


def test_two_leads_that_turn_out_to_be_one_have_their_fields_by_their_clocks(engine: Engine) -> None:
    engine.post({"id": "a", "customer": "cus_1", "city": "Rome", "at": 10, "score": 1})
    engine.post({"id": "b", "email": "ann@example.com", "city": "Oslo", "at": 20, "score": 2})
    engine.post({"id": "c", "customer": "cus_1", "city": "Lima", "at": 15, "score": 4})
    engine.translate()
    assert engine.lead("customer=cus_1").id != engine.lead("ann@example.com").id

    engine.post(
        {"id": "d", "guid": "ann", "customer": "cus_1", "email": "ann@example.com", "at": 5, "city": "Bonn"}
    )

    assert engine.work() == [("ann", {"city": "Oslo", "score": 7})]
    assert known_by(engine, "ann") == {"guid": "ann", "email": "ann@example.com", "customer": "cus_1"}


@pytest.mark.parametrize("said_first", ["customer", "email"])
def test_of_two_leads_that_turn_out_to_be_one_the_older_id_survives(engine: Engine, said_first: str) -> None:
    mapping = MAPPING.replace(
        "  {guid: guid, email: email,\n  keys: {customer: customer}}",
        "  {email: email, keys: {customer: customer}}"
        if said_first == "email"
        else "  {keys: {customer: customer}, email: email}",
    )
    engine.write_mapping(mapping)
    engine.post({"id": "a", "customer": "cus_1", "city": "Rome"})
    engine.translate()
    engine.post({"id": "b", "email": "ann@example.com", "score": 1})
    engine.translate()
    older, younger = engine.lead("customer=cus_1").id, engine.lead("ann@example.com").id
    assert older < younger

    engine.post({"id": "c", "customer": "cus_1", "email": "ann@example.com"})
    engine.translate()

    assert engine.lead("customer=cus_1").id == older, "people may have written it down"
    assert engine.lead("ann@example.com").id == older


def test_what_belongs_to_a_lead_goes_with_it(engine: Engine) -> None:
    first = engine.post({"id": "a", "customer": "cus_1", "city": "Rome", "score": 1})
    engine.post({"id": "b", "guid": "ann", "score": 2})
    engine.work()
    engine.post({"id": "c", "guid": "ann", "customer": "cus_1", "score": 4})
    engine.work()

    with engine.store.read() as connection:
        event = find_event(connection, MAIN_ACCOUNT, f"{first}-0")
    assert event is not None
    assert event.line.lead == {"guid": "ann", "customer": "cus_1"}
    engine.change_mapping("city: city", "city: town")
    engine.replay()
    assert engine.values("ann")["score"] == 7, "the updates of both are counted, once each"


def test_a_lead_is_never_merged_while_it_is_on_its_way(engine: Engine) -> None:
    for id, guid in (("a", None), ("b", "ann")):
        engine.post({"id": id, "customer": id, "guid": guid, "city": "Rome"})
    engine.translate()
    with engine.store.write() as connection:
        found = records.claim_due(
            connection, MAIN_ACCOUNT, "other", engine.now, engine.now + 60 * SECOND, limit=10
        )
    assert len(found) == 2

    engine.post({"id": "c", "customer": "a", "guid": "ann", "city": "Oslo"})
    engine.translate()
    assert engine.lead("customer=a").id != engine.lead("ann").id

    with engine.store.write() as connection:
        records.recover_expired(connection, MAIN_ACCOUNT, engine.now + 61 * SECOND)
    engine.now += 62 * SECOND
    engine.work()
    assert engine.lead("customer=a").id == engine.lead("ann").id
    assert engine.values("ann") == {"city": "Oslo"}


def test_a_contradiction_is_cured_by_one_command(engine: Engine) -> None:
    engine.post({"id": "a", "guid": "ann", "customer": "cus_1", "city": "Rome"})
    engine.post({"id": "b", "guid": "bob", "customer": "cus_1", "city": "Oslo"})
    engine.translate()
    with engine.store.read() as connection:
        (dead,) = [line for line in list_events(connection, MAIN_ACCOUNT, limit=9) if line.state == "dead"]
    assert dead.cause is not None
    assert dead.cause.code == "contradicting_identifiers"
    said = {"ann": "guid 'ann': ", "bob": "guid 'bob': "}
    assert all(words in dead.cause.detail for words in said.values())

    assert unlink(engine.store, MAIN_ACCOUNT, engine._clock, ("customer", "cus_1")) == 1
    assert sorted(engine.work()) == [("ann", {"city": "Rome"}), ("bob", {"city": "Oslo"})]


def test_a_person_can_say_that_two_leads_are_one(engine: Engine) -> None:
    engine.post({"id": "a", "customer": "cus_1", "city": "Rome"})
    engine.post({"id": "b", "guid": "ann", "score": 1})
    assert engine.work() == [("ann", {"score": 1})]

    linked = link(engine.store, MAIN_ACCOUNT, engine._clock, ("customer", "cus_1"), engine.lead("ann").id)

    assert linked.how == "merged"
    assert engine.work() == [("ann", {"city": "Rome"})]


def test_a_person_can_move_an_identifier_between_leads_that_are_two(engine: Engine) -> None:
    engine.post({"id": "a", "guid": "ann", "email": "shared@example.com", "city": "Rome"})
    engine.post({"id": "b", "guid": "bob", "city": "Oslo"})
    engine.work()

    linked = link(
        engine.store, MAIN_ACCOUNT, engine._clock, ("email", "shared@example.com"), engine.lead("bob").id
    )

    assert linked.how == "moved"
    assert known_by(engine, "bob") == {"guid": "bob", "email": "shared@example.com"}
    assert known_by(engine, "ann") == {"guid": "ann"}


def test_hubspot_is_asked_who_an_email_is_once(engine: Engine) -> None:
    engine.hubspot.directory["ann@example.com"] = ["ann"]
    engine.post({"id": "a", "email": "ann@example.com", "city": "Rome"})
    assert engine.work() == [("ann", {"city": "Rome"})]
    engine.post({"id": "b", "email": "ann@example.com", "city": "Oslo"})
    assert engine.work() == [("ann", {"city": "Oslo"})]
    assert len(engine.hubspot.requests) == 3


def test_what_hubspot_said_is_asked_again_after_a_week(engine: Engine) -> None:
    engine.hubspot.directory["ann@example.com"] = ["ann"]
    engine.post({"id": "a", "email": "ann@example.com", "city": "Rome"})
    engine.work()
    engine.now += 8 * DAY
    engine.hubspot.directory["ann@example.com"] = ["ann2"]
    engine.post({"id": "b", "email": "ann@example.com", "city": "Oslo"})
    assert engine.work() == [("ann2", {"city": "Oslo"})]
    assert known_by(engine, "ann@example.com")["guid"] == "ann2"


def test_a_lead_that_is_gone_where_hubspot_said_is_looked_up_anew(engine: Engine) -> None:
    engine.hubspot.directory["ann@example.com"] = ["ann"]
    engine.post({"id": "a", "email": "ann@example.com", "city": "Rome"})
    engine.work()
    engine.hubspot.directory["ann@example.com"] = ["merged"]
    engine.hubspot.outcome = Outcome("not_found", 404, REFUSED)
    engine.post({"id": "b", "email": "ann@example.com", "city": "Oslo"})
    engine.translate()
    engine._deliverer.run_once()
    engine.hubspot.outcome = Outcome("done", 200)
    assert engine.work() == [("merged", {"city": "Oslo"})]


def test_hubspots_answer_shows_that_two_leads_are_one(engine: Engine) -> None:
    engine.post({"id": "a", "guid": "ann", "city": "Rome", "at": 10})
    engine.work()
    engine.hubspot.directory["ann@example.com"] = ["ann"]
    engine.post({"id": "b", "email": "ann@example.com", "city": "Oslo", "score": 1, "at": 5})
    assert engine.work() == [("ann", {"score": 1})]
    assert engine.lead("ann").id == engine.lead("ann@example.com").id


def test_several_leads_with_one_email_are_for_a_person_to_choose_from(engine: Engine) -> None:
    engine.hubspot.directory["ann@example.com"] = ["g1", "g2"]
    engine.post({"id": "a", "email": "ann@example.com", "city": "Rome"})
    assert engine.work() == []
    row = engine.lead("ann@example.com")
    assert (row.state, row.cause and row.cause.code) == ("dead", "ambiguous_lead")

    link(engine.store, MAIN_ACCOUNT, engine._clock, ("guid", "g2"), row.id)

    assert engine.work() == [("g2", {"city": "Rome"})]


def test_a_lead_that_cannot_be_found_waits_and_goes_when_an_event_links_it(engine: Engine) -> None:
    engine.post({"id": "a", "customer": "cus_1", "city": "Rome"})
    assert engine.work() == []
    assert engine.hubspot.requests == [], "there is nothing that HubSpot could be asked for"
    row = engine.lead("customer=cus_1")
    assert (row.state, row.cause and row.cause.code) == ("due", "unresolved")
    assert (row.due_at or 0) > engine.now

    engine.post({"id": "b", "customer": "cus_1", "guid": "ann", "score": 1})

    assert engine.work() == [("ann", {"city": "Rome", "score": 1})]


def test_a_lead_that_nothing_links_for_a_day_is_dead_with_what_it_is_known_by(engine: Engine) -> None:
    engine.post({"id": "a", "customer": "cus_1", "city": "Rome"})
    for _ in range(60):
        engine.work()
        engine.now += DAY // 24
    row = engine.lead("customer=cus_1")
    assert row.cause is not None
    assert (row.state, row.cause.code) == ("dead", "unresolved")
    assert row.cause.detail == "the lead is known by customer only, and HubSpot needs its email or guid"


def test_many_leads_share_a_request(engine: Engine) -> None:
    engine.hubspot.max_batch = 100
    for number in range(250):
        engine.post({"id": str(number), "guid": f"g{number}", "city": "Rome"})
    assert len(engine.work()) == 250
    assert sorted(engine.hubspot.requests, reverse=True) == [100, 100, 50]


def test_a_refused_batch_is_split_until_the_bad_one_stands_alone(engine: Engine) -> None:
    engine.hubspot.max_batch = 100
    engine.hubspot.bad = {"g42"}
    for number in range(100):
        engine.post({"id": str(number), "guid": f"g{number}", "city": "Rome"})
    engine.work()
    assert len(engine.hubspot.requests) <= 2 * 7 + 1
    assert engine.lead("g42").state == "dead"
    assert {engine.lead(f"g{number}").state for number in range(100) if number != 42} == {"clean"}


def test_a_field_that_hubspot_refuses_costs_itself_only(engine: Engine) -> None:
    engine.hubspot.unknown = {"score"}
    engine.post({"id": "a", "guid": "ann", "city": "Rome", "score": 1})
    assert engine.work() == [("ann", {"city": "Rome"})]
    row = engine.lead("ann")
    assert row.cause is not None
    assert (row.state, row.cause.code) == ("dead", "field_refused")
    assert row.cause.detail.startswith("score (")
    assert "there is no such property" in row.cause.detail

    engine.post({"id": "b", "guid": "ann", "city": "Oslo"})
    assert engine.work() == [("ann", {"city": "Oslo"})], "the refused value is not tried with every change"
    engine.hubspot.unknown = set()
    engine.retry_dead()
    assert engine.work() == [("ann", {"score": 1})]


def test_workers_at_the_same_instant_come_to_the_same_leads(engine: Engine) -> None:
    for number in range(120):
        group = number % 10
        engine.post(
            {"id": f"k{number}", "customer": f"c{group}", "email": f"e{number % 20}@example.com", "score": 1}
        )
    translators = [
        Translator(
            engine.store,
            MAIN_ACCOUNT,
            engine.sources,
            engine._clock,
            BundleTiming(0, 0),
            worker=f"w{n}",
            max_body_bytes=MIB,
            batch=7,
        )
        for n in range(4)
    ]
    failures: list[BaseException] = []

    def work(translator: Translator) -> None:
        try:
            while translator.run_once():
                pass
        except BaseException as error:  # noqa: BLE001 - the test fails with it below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(translator,)) for translator in translators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.now += 2 * SECOND
    engine.translate()

    assert failures == []
    assert [engine.values(f"customer=c{group}")["score"] for group in range(10)] == [12] * 10
    assert {engine.lead(f"customer=c{n}").id == engine.lead(f"e{n}@example.com").id for n in range(10)} == {
        True
    }
