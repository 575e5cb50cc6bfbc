"""Delivery over a real store: claims, leases, the budget, and what an attempt leaves behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text

from integration.core.clock import new_id
from integration.core.errors import SettingError, StoreUnavailableError
from integration.core.settings import RateLimit
from integration.core.values import (
    MAIN_ACCOUNT,
    Cause,
    FieldChange,
    Find,
    Operation,
    Outcome,
    Read,
    Update,
    Write,
    fields_of,
)
from integration.hubspot.family import Family
from integration.lead.merge import merge
from integration.lead.record import Record, RecordState
from integration.pipeline.deliver import Deliverer
from integration.pipeline.slots import LONGEST_REQUEST_SECONDS
from integration.store import identifiers, records
from integration.store.engine import Store
from tests.engine import family, guid_of

START = 1_800_000_000_000_000
SECOND = 1_000_000
PLENTY = RateLimit(100, 10)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class FakeHubSpot:
    """Answers as told, and remembers what it was sent."""

    name = "fake"
    id_kind = "guid"
    finds_by = frozenset({"email"})
    can_create = False
    most_cost = 1
    max_batch = 1

    def __init__(self) -> None:
        self.sent: list[Operation] = []
        self.answer: Callable[[Operation], Outcome] = lambda _: Outcome("done", 200)

    def family(self, operation: Operation) -> Family:
        return family(operation)

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.sent += operations
        return [self.answer(operation) for operation in operations]


Make = Callable[..., Deliverer]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hubspot() -> FakeHubSpot:
    return FakeHubSpot()


@pytest.fixture
def make(store: Store, hubspot: FakeHubSpot, clock: Clock) -> Iterator[Make]:
    made: list[Deliverer] = []

    def make(worker: str = "one", limit: RateLimit = PLENTY) -> Deliverer:
        deliverer = Deliverer(
            store,
            MAIN_ACCOUNT,
            hubspot,
            clock,
            limit,
            worker=worker,
            concurrency=4,
            chance=random.Random(1).random,
        )
        made.append(deliverer)
        return deliverer

    yield make
    for deliverer in made:
        deliverer.close()


def add_due(store: Store, count: int) -> list[str]:
    ids = [new_id(START) for _ in range(count)]
    with store.write() as connection:
        records.add(connection, [Record(MAIN_ACCOUNT, id) for id in ids], START)
        identifiers.link(
            connection, MAIN_ACCOUNT, {("guid", f"guid-{number}"): id for number, id in enumerate(ids)}
        )
        rows = records.lock(connection, ids)
        records.save(connection, [due(rows[id], number) for number, id in enumerate(ids)], START)
    return ids


def due(row: Record, number: int) -> Record:
    change = FieldChange("city", f"city {number}", "latest", "mappings/shop/mapping.yaml:9", "the city")
    state = merge({}, [Update(f"e{number}-0", (START, f"shop/{number}"), (change,))])
    return replace(row, state=RecordState.DUE, due_at=START, waiting_since=START, fields=state)


def add_due_without_guid(store: Store, count: int) -> None:
    """Leads that come before all others, and that HubSpot cannot be asked for."""
    ids = [new_id(START - SECOND) for _ in range(count)]
    with store.write() as connection:
        records.add(connection, [Record(MAIN_ACCOUNT, id) for id in ids], START)
        rows = records.lock(connection, ids)
        records.save(connection, [due(rows[id], number) for number, id in enumerate(ids)], START)


def states(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(connection.execute(text("SELECT state FROM leads")).scalars())


def test_a_bundle_is_sent_once_and_its_lead_is_clean(store: Store, make: Make, hubspot: FakeHubSpot) -> None:
    (lead_id,) = add_due(store, 1)
    deliverer = make()

    assert deliverer.run_once() == 1
    assert deliverer.run_once() == 0

    assert hubspot.sent == [Write(lead_id, {"guid": "guid-0"}, {"city": "city 0"}, ["e0-0"])]
    assert states(store) == ["clean"]


def test_leads_that_cannot_be_addressed_do_not_keep_those_behind_them_waiting(
    store: Store, make: Make, hubspot: FakeHubSpot
) -> None:
    add_due_without_guid(store, 20)
    add_due(store, 1)

    assert make().run_once() == 1

    assert [guid_of(operation) for operation in hubspot.sent] == ["guid-0"]


def test_after_a_claim_with_nothing_to_send_it_is_worth_looking_again_at_once(
    store: Store, make: Make, clock: Clock
) -> None:
    add_due_without_guid(store, 3)
    deliverer = make()

    assert deliverer.claim(3).wait_until == clock()
    assert deliverer.claim(3).wait_until != clock()


def test_a_rate_limit_that_one_update_does_not_fit_in_is_refused_at_once(
    store: Store, hubspot: FakeHubSpot
) -> None:
    hubspot.most_cost = 3

    with pytest.raises(SettingError) as caught:
        Deliverer(store, MAIN_ACCOUNT, hubspot, Clock(), RateLimit(2, 1), worker="w", concurrency=1)

    assert str(caught.value) == (
        "HUBSPOT_RATE_LIMIT: 2/1 is too narrow for fake, where one update can take 3 requests: write 3/1.5,"
        " which is the same rate over a longer time."
    )


def test_a_lead_that_is_claimed_again_while_its_split_call_goes_on_stays_held(
    store: Store, make: Make, hubspot: FakeHubSpot
) -> None:
    first, second = add_due(store, 2)
    hubspot.max_batch = 2
    refused = Outcome("split", 400, Cause("refused_by_hubspot", "no", "fix it"))
    halves_begun, may_end = threading.Event(), threading.Event()

    def answer(operation: Operation) -> Outcome:
        if len(hubspot.sent) <= 2:
            return refused
        if operation.record_id == second:
            halves_begun.set()
            may_end.wait(10)
        return Outcome("done", 200)

    hubspot.answer = answer
    deliverer = make()
    (split,) = deliverer.claim(4).jobs
    ended = threading.Event()
    deliverer.start(split, ended.set)
    assert halves_begun.wait(10)

    with store.write() as connection:
        row = records.lock(connection, [first])[first]
        records.save(connection, [due(row, 7)], START)
    (again,) = deliverer.claim(4).jobs
    assert [row.id for row in again.rows] == [first]
    may_end.set()
    assert ended.wait(10)

    assert deliverer._held() == {first}, "else its lease would run out while its request is on its way"
    ended.clear()
    deliverer.start(again, ended.set)
    assert ended.wait(10)
    assert deliverer._held() == set()
    assert deliverer.in_hand == 0


def test_no_window_holds_more_requests_than_the_limit_whoever_sends(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    add_due(store, 8)
    one, other = make("one", RateLimit(3, 10)), make("two", RateLimit(3, 10))

    made = [one.run_once(), other.run_once()]
    clock.now += 9 * SECOND
    made += [one.run_once(), other.run_once()]
    clock.now += 1 * SECOND
    made += [other.run_once(), one.run_once()]

    assert made == [3, 0, 0, 0, 3, 0]
    assert len(hubspot.sent) == 6


def test_a_401_pauses_all_workers_then_one_probe_resumes_them(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    add_due(store, 6)
    one, other = make("one"), make("two")
    hubspot.answer = lambda _: Outcome(
        "stop", 401, Cause("token_refused", "HubSpot answered 401", "set the token")
    )
    assert one.run_once() == 4
    assert (one.run_once(), other.run_once()) == (0, 0)

    hubspot.answer = lambda _: Outcome("done", 200)
    clock.now += 5 * SECOND
    assert other.run_once() == 1
    assert one.run_once() == 4
    assert one.run_once() == 1
    assert states(store) == ["clean"] * 6


def test_one_lead_that_fails_delays_no_other(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    add_due(store, 5)
    deliverer = make()
    failed = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", ""))
    hubspot.answer = lambda sent: failed if guid_of(sent) == "guid-0" else Outcome("done", 200)

    while deliverer.run_once():
        pass

    assert states(store) == ["clean"] * 4 + ["due"]
    clock.now += 3600 * SECOND
    hubspot.answer = lambda _: Outcome("done", 200)
    assert deliverer.run_once() == 1
    assert states(store) == ["clean"] * 5


def test_a_dead_workers_leads_and_slots_come_back(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    add_due(store, 2)
    dying, other = make("one", RateLimit(2, 10)), make("two", RateLimit(2, 10))
    assert len(dying.claim(4).jobs) == 2

    clock.now += 11 * SECOND
    other.keep_leases()
    assert other.run_once() == 0  # the leads are back; the slots may still be in use at HubSpot
    clock.now += LONGEST_REQUEST_SECONDS * SECOND
    assert other.run_once() == 2
    assert len(hubspot.sent) == 2


def test_a_lead_whose_outcome_could_not_be_written_down_is_sent_again_by_the_same_worker(
    store: Store, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_due(store, 1)
    deliverer = make()

    def gone(*_: object) -> None:
        raise StoreUnavailableError("The store is gone.")

    with monkeypatch.context() as broken:
        broken.setattr(deliverer._settler._together, "submit", gone)
        assert deliverer.run_once() == 1
    assert states(store) == ["leased"]

    for _ in range(4):
        clock.now += 4 * SECOND
        deliverer.keep_leases()
    assert deliverer.run_once() == 1
    assert states(store) == ["clean"]


def test_a_worker_that_stops_gives_back_what_it_did_not_begin(store: Store, make: Make) -> None:
    add_due(store, 3)
    deliverer = make()
    assert len(deliverer.claim(3).jobs) == 3

    deliverer.close()

    assert states(store) == ["due"] * 3


def test_when_hubspot_says_that_nothing_is_left_all_wait_for_the_window(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    add_due(store, 5)
    deliverer = make()
    hubspot.answer = lambda _: Outcome("done", 200, used_up_for=10.0)
    assert deliverer.run_once() == 4

    assert deliverer.run_once() == 0
    clock.now += 10 * SECOND
    assert deliverer.run_once() == 1


def add_due_if_empty(store: Store) -> None:
    (lead_id,) = add_due(store, 1)
    change = FieldChange("phone", "123", "if_empty", "mappings/shop/mapping.yaml:10", "the phone")
    state = merge({}, [Update("e9-0", (START, "shop/9"), (change,))])
    with store.write() as connection:
        row = records.lock(connection, [lead_id])[lead_id]
        records.save(connection, [replace(row, fields=state)], START)


@pytest.mark.parametrize(
    ("at_hubspot", "sent"), [(None, {"phone": "123"}), ("", {"phone": "123"}), ("what sales typed", None)]
)
def test_if_empty_looks_at_hubspots_value_once_and_fills_only_what_is_blank(
    store: Store, make: Make, hubspot: FakeHubSpot, at_hubspot: str | None, sent: dict[str, str] | None
) -> None:
    add_due_if_empty(store)
    deliverer = make()
    hubspot.answer = lambda sent: Outcome(
        "done", 200, values=dict.fromkeys(sent.names if isinstance(sent, Read) else (), at_hubspot)
    )

    while deliverer.run_once():
        pass

    read, *written = hubspot.sent
    assert isinstance(read, Read)
    assert tuple(read.names) == ("phone",)
    assert [fields_of(operation) for operation in written] == ([sent] if sent else [])
    assert states(store) == ["clean"]


def test_a_lead_that_one_identifier_does_not_find_is_looked_for_by_the_next(
    store: Store, make: Make, hubspot: FakeHubSpot, clock: Clock
) -> None:
    (lead_id,) = add_due(store, 1)
    with store.write() as connection:
        identifiers.unlink(connection, MAIN_ACCOUNT, [("guid", "guid-0")])
        links = {("email", "new@example.com"): lead_id, ("email", "old@example.com"): lead_id}
        identifiers.link(connection, MAIN_ACCOUNT, links)
    deliverer = make()

    def knows_the_old_email(operation: Operation) -> Outcome:
        if not isinstance(operation, Find):
            return Outcome("done", 200)
        if operation.sought[0].value != "old@example.com":
            return Outcome("not_found", 200, Cause("unresolved", "no lead", "wait"))
        return Outcome("done", 200, found={"guid": "guid-9"})

    hubspot.answer = knows_the_old_email
    while deliverer.run_once():
        pass
    clock.now += 61 * SECOND
    while deliverer.run_once():
        pass

    *finds, write = hubspot.sent
    assert [[known.value for known in find.sought] for find in finds if isinstance(find, Find)] == [
        ["new@example.com", "old@example.com"], ["old@example.com", "new@example.com"],
    ]  # fmt: skip
    assert guid_of(write) == "guid-9"
    assert states(store) == ["clean"]
