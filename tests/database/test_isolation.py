"""Isolation: where many share a transaction, one that cannot be stored is set aside alone.

The databases are told to refuse a value: as an index refuses a text that is too long, a constraint, or a
broken page, but for a value that the test chooses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from integration.core.bounds import LONGEST_KEY_BYTES
from integration.core.errors import LeadwireError, StoreUnavailableError
from integration.core.values import MAIN_ACCOUNT
from integration.lead.catalogue import Catalogue
from integration.lead.next_write import next_write
from integration.operate.alerts import Alerts
from integration.operate.linking import link
from integration.store.engine import Store, StoreConflictError
from integration.store.isolation import CONFLICT_TRIES, Culprit, cause_of, isolated
from integration.store.views.event_views import EventLine, list_events
from integration.store.views.lead_views import find_lead_id
from tests.database.test_fetch import Shop, shop
from tests.engine import DAY, SECOND, Engine

__all__ = ["shop"]  # a fixture

HEALTHY = ("a", "b", "c", "d", "e")
POISON = "poison"


def refuse(store: Store, table: str, column: str) -> None:
    """From now on the database refuses every row of the table with the poison in this column."""
    condition = f"NEW.{column} LIKE '%{POISON}%'"
    with store.write() as connection:
        if not store.is_sqlite:
            connection.execute(
                text(
                    f"CREATE FUNCTION refuse_{table}() RETURNS trigger AS $$ BEGIN IF {condition} THEN "
                    f"RAISE EXCEPTION 'no % here', NEW.{column}; END IF; RETURN NEW; END $$ LANGUAGE plpgsql"
                )
            )
        for when in ("INSERT", "UPDATE"):
            begin = f"CREATE TRIGGER refuse_{table}_{when} BEFORE {when} ON {table} "
            if store.is_sqlite:
                body = f"WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no poison here'); END"
            else:
                body = f"FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
            connection.execute(text(begin + body))


def events_of(engine: Engine) -> dict[str, EventLine]:
    """All events, by the source's id."""
    with engine.store.read() as connection:
        return {line.dedup_key: line for line in list_events(connection, MAIN_ACCOUNT, limit=100)}


def states(engine: Engine) -> dict[str, str]:
    return {id: line.state for id, line in events_of(engine).items()}


def lead_states(engine: Engine) -> dict[str, str]:
    return {guid: engine.lead(guid).state for guid in (*HEALTHY, POISON)}


def post_all(engine: Engine, **fields: object) -> None:
    """One event each for the healthy and for the poisonous one, in the midst of them."""
    for id in (*HEALTHY[:2], POISON, *HEALTHY[2:]):
        engine.post({"id": id, "guid": id, "city": id, **fields})


def only_the_poison_is_dead(found: Mapping[str, str], otherwise: str) -> bool:
    return found == {**dict.fromkeys(HEALTHY, otherwise), POISON: "dead"}


def store_refused(line_cause: Any) -> bool:
    return (
        line_cause.code == "store_refused"
        and line_cause.detail.startswith("the database refuses to store it: ")
        and POISON not in line_cause.detail
        and "retry" in line_cause.cure
    )


class TestTranslating:
    def test_an_event_whose_update_is_refused_is_dead_and_the_others_are_translated(
        self, engine: Engine
    ) -> None:
        refuse(engine.store, "updates", "changes")
        post_all(engine)

        engine.translate()

        assert only_the_poison_is_dead(states(engine), "translated")
        assert store_refused(events_of(engine)[POISON].cause)
        assert sorted(str(sent["city"]) for _, sent in engine.deliver()) == list(HEALTHY)

    def test_an_event_whose_lead_is_refused_is_dead(self, engine: Engine) -> None:
        refuse(engine.store, "identifiers", "value")
        post_all(engine)

        engine.translate()

        assert only_the_poison_is_dead(states(engine), "translated")

    def test_an_unexpected_error_costs_its_event_only(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def validate(_: Catalogue, changes: Sequence[Any]) -> None:
            if changes[0].value == POISON:
                raise KeyError(POISON)

        monkeypatch.setattr(Catalogue, "validate", validate)
        post_all(engine)

        engine.translate()

        assert only_the_poison_is_dead(states(engine), "translated")
        cause = events_of(engine)[POISON].cause
        assert cause is not None
        assert cause.code == "unexpected_error"
        assert cause.detail.startswith("the program failed on it: KeyError at test_isolation.py:")

    @pytest.mark.parametrize("email", ["x" * 6_000, "é" * (LONGEST_KEY_BYTES // 2)])
    def test_an_identifier_that_is_too_long_for_an_index_is_a_dead_letter(
        self, engine: Engine, email: str
    ) -> None:
        address = f"{email}@example.com"
        engine.post({"id": "long", "email": address, "city": "Rome"})
        engine.post({"id": "short", "guid": "a", "city": "Rome"})

        engine.translate()

        assert states(engine) == {"long": "dead", "short": "translated"}
        cause = events_of(engine)["long"].cause
        assert cause is not None
        assert cause.code == "unusable_identifier"
        size = f"is {len(address.encode()):,} bytes long; at most {LONGEST_KEY_BYTES:,} are possible"
        assert cause.detail == f"mappings/shop/mapping.yaml:10: lead.email: the address {size}"
        assert "`lead:`" in cause.cure

    def test_a_key_that_is_too_long_is_shown_shortened(self, engine: Engine) -> None:
        engine.post({"id": "long", "customer": "c" * 2_705, "city": "Rome"})

        engine.translate()

        cause = events_of(engine)["long"].cause
        assert cause is not None
        shown = f"lead.keys.customer: '{'c' * 78}… is 2,705 bytes long; at most 1,024 are possible"
        assert cause.detail == f"mappings/shop/mapping.yaml:11: {shown}"

    def test_the_longest_identifier_fits_the_index(self, engine: Engine) -> None:
        engine.post({"id": "a", "email": "é" * (LONGEST_KEY_BYTES // 2), "city": "Rome"})

        engine.translate()

        assert states(engine) == {"a": "translated"}

    def test_duplicates_of_an_event_with_a_long_id_are_known(self, engine: Engine) -> None:
        first, second = (engine.post({"id": "x" * 6_000, "guid": "a", "at": 1}) for _ in range(2))

        assert first == second


class TestFetching:
    def test_an_answer_that_is_refused_makes_its_event_a_dead_letter(self, shop: Shop) -> None:
        refuse(shop.engine.store, "fetches", "address")
        for id in (POISON, *HEALTHY[:3]):
            shop.engine.post({"id": id, "payment": id})

        shop.work()

        found = {line.dedup_key: line for line in shop.events}
        assert {id: line.state for id, line in found.items()} == {
            **dict.fromkeys(HEALTHY[:3], "translated"),
            POISON: "dead",
        }
        assert store_refused(found[POISON].cause)


class TestDelivering:
    def test_a_lead_whose_outcome_is_refused_is_dead_and_the_others_are_settled(self, engine: Engine) -> None:
        refuse(engine.store, "attempts", "fields")
        engine.hubspot.max_batch = 100
        post_all(engine)

        engine.work()

        assert only_the_poison_is_dead(lead_states(engine), "clean")
        assert store_refused(engine.lead(POISON).cause)
        assert len(engine.hubspot.requests) == 1, "what HubSpot took is not sent again"

    def test_an_id_from_hubspot_that_is_too_long_costs_its_lead_only(self, engine: Engine) -> None:
        engine.hubspot.directory = {f"{id}@example.com": [id] for id in HEALTHY}
        engine.hubspot.directory[f"{POISON}@example.com"] = ["x" * 6_000]
        for id in (POISON, *HEALTHY):
            engine.post({"id": id, "email": f"{id}@example.com", "city": id})
        engine.hubspot.max_batch = 100

        engine.work()

        assert sorted(guid for guid, _ in engine.hubspot.sent) == list(HEALTHY)
        cause = engine.lead(f"{POISON}@example.com").cause
        assert cause is not None
        assert cause.code == "unusable_identifier"
        assert cause.detail.startswith("HubSpot answered with a guid that cannot be kept: 'xxx")
        assert cause.detail.endswith("is 6,000 bytes long; at most 1,024 are possible")

    def test_an_id_from_hubspot_that_the_database_refuses_costs_its_lead_only(self, engine: Engine) -> None:
        refuse(engine.store, "identifiers", "value")
        engine.hubspot.directory = {f"{id}@example.com": [id] for id in HEALTHY} | {"q@example.com": [POISON]}
        for id in ("q", *HEALTHY):
            engine.post({"id": id, "email": f"{id}@example.com", "city": id})
        engine.hubspot.max_batch = 100

        engine.work()

        assert sorted(guid for guid, _ in engine.hubspot.sent) == list(HEALTHY)
        assert store_refused(engine.lead("q@example.com").cause)

    def test_an_unexpected_error_on_one_lead_does_not_stop_the_claim(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def failing(row: Any, *others: Any) -> Any:
            if POISON in str(dict(row.fields.items())):
                raise ValueError(POISON)
            return next_write(row, *others)

        monkeypatch.setattr("integration.pipeline.claim.next_write", failing)
        post_all(engine)

        engine.work()

        assert only_the_poison_is_dead(lead_states(engine), "clean")
        cause = engine.lead(POISON).cause
        assert cause is not None
        assert cause.code == "unexpected_error"


class TestReplaying:
    def test_an_event_that_is_refused_is_dead_and_the_others_are_replayed(self, engine: Engine) -> None:
        post_all(engine, town="Rome")
        for id in (*HEALTHY, POISON):
            engine.post({"id": f"{id}-2", "guid": id, "town": id})
        engine.work()
        refuse(engine.store, "updates", "changes")
        engine.change_mapping("city: city", "city: town")

        counts = engine.replay()

        assert counts.changed == 2 * len((*HEALTHY, POISON))
        found = events_of(engine)
        assert [id for id, line in found.items() if line.state == "dead"] == [f"{POISON}-2"]
        assert store_refused(found[f"{POISON}-2"].cause)
        assert {id: engine.values(id)["city"] for id in HEALTHY} == {id: id for id in HEALTHY}
        assert engine.values(POISON)["city"] == "Rome"

    def test_a_lead_that_cannot_be_rebuilt_is_dead_and_the_others_are_rebuilt(self, engine: Engine) -> None:
        for number, id in enumerate((*HEALTHY, POISON)):
            engine.post({"id": str(number), "guid": id, "city": "Rome", "town": id})
        engine.work()
        refuse(engine.store, "leads", "document")
        engine.change_mapping("city: city", "city: town")

        engine.replay()

        assert {id: engine.values(id)["city"] for id in HEALTHY} == {id: id for id in HEALTHY}
        assert engine.values(POISON)["city"] == "Rome"
        assert store_refused(engine.lead(POISON).cause)
        assert engine.refold() == 0, "nothing is left to be rebuilt"


def test_an_identifier_that_is_refused_when_a_person_links_it_is_told(engine: Engine) -> None:
    engine.post({"id": "a", "guid": "a", "city": "Rome"})
    engine.translate()
    with engine.store.read() as connection:
        lead_id = find_lead_id(connection, MAIN_ACCOUNT, "a")
    assert lead_id is not None
    refuse(engine.store, "identifiers", "value")

    with pytest.raises(LeadwireError, match=f"email={POISON!r} cannot be linked: the database refuses"):
        link(engine.store, MAIN_ACCOUNT, lambda: engine.now, ("email", POISON), lead_id)
    with pytest.raises(
        LeadwireError, match=r"email='xx.*… cannot be linked: it is 6,000 bytes long; at most"
    ):
        link(engine.store, MAIN_ACCOUNT, lambda: engine.now, ("email", "x" * 6_000), lead_id)


def test_an_alert_that_cannot_be_written_down_does_not_keep_others_from_being_told(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    for id in ("a", "b"):
        engine.post({"id": id, "city": "Rome"})  # no identifier
    engine.translate()
    with engine.store.write() as connection:
        connection.execute(text(f"UPDATE events SET cause = 'a_{POISON}' WHERE dedup_key = 'a'"))
    refuse(engine.store, "alerts", "subject")
    told: list[Mapping[str, object]] = []

    def post(message: Mapping[str, object]) -> None:
        told.append(message)

    Alerts(engine.store, MAIN_ACCOUNT, lambda: engine.now + 60 * SECOND, post).step(lambda: False)

    assert [message["cause"] for message in told] == ["missing_lead"]
    assert "Something is left undone, and tried again later: the database refuses" in caplog.text


def test_an_old_request_that_cannot_be_folded_stays_and_the_others_are_pruned(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    post_all(engine)
    engine.work()
    refuse(engine.store, "leads", "folded")
    engine.now += 31 * DAY

    engine.prune()

    with engine.store.read() as connection:
        left = list(connection.execute(text("SELECT body FROM requests")).scalars())
    assert [json.loads(body)["id"] for body in left] == [POISON]
    assert "An old request stays, as what it led to cannot be kept: the database refuses" in caplog.text


class TestIsolated:
    def test_an_outage_is_nobodys_and_nothing_is_tried_again(self) -> None:
        tried: list[Sequence[int]] = []

        def down(items: Sequence[int]) -> None:
            tried.append(items)
            raise StoreUnavailableError("down")

        with pytest.raises(StoreUnavailableError):
            list(isolated(range(8), down))
        assert tried == [range(8)]

    def test_transactions_that_met_are_tried_again_whole(self) -> None:
        tried: list[Sequence[int]] = []

        def meets_another(items: Sequence[int]) -> int:
            tried.append(items)
            if len(tried) < CONFLICT_TRIES:
                raise StoreConflictError("deadlock")
            return sum(items)

        (done,) = isolated(range(4), meets_another)
        assert not isinstance(done, Culprit)
        assert done.result == 6
        assert tried == [range(4)] * CONFLICT_TRIES

    @pytest.mark.parametrize("missing", ["SELECT nothing FROM events", "SELECT 1 FROM no_table"])
    def test_a_schema_that_is_not_as_expected_is_no_events_fault(self, store: Store, missing: str) -> None:
        def ask(_: Sequence[int]) -> None:
            with store.write() as connection:
                connection.execute(text(missing))

        with pytest.raises((DBAPIError, StoreUnavailableError)):
            list(isolated([1, 2], ask))

    @pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**70])
    def test_a_value_that_no_database_takes_lies_in_the_data(self, store: Store, value: object) -> None:
        if store.is_sqlite and value == "a\0b":
            pytest.skip("SQLite takes it")
        insert = text("INSERT INTO accounts (account, pauses) VALUES (:text, :number)")
        number = value if isinstance(value, int) else 1

        def put(_: Sequence[object]) -> None:
            with store.write() as connection:
                connection.execute(insert, {"text": str(value), "number": number})

        (culprit,) = isolated([value], put)
        assert isinstance(culprit, Culprit)
        assert cause_of(culprit.error).code in {"store_refused", "unexpected_error"}
