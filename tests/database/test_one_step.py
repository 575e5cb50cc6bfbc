"""One step decides which lead an event is about and what it becomes: `try`, worker, replay and plan agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from integration.authoring.rehearse import Rehearsal, rehearse
from integration.config.sources import Source
from integration.core.values import MAIN_ACCOUNT, EventState, RawRequest, Wire
from integration.pipeline.replay import Plan
from integration.store import tables
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from integration.store.views.event_views import list_events
from tests.engine import MIB, START, Engine, running

MAPPING = """\
version: 1
source: shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event:
  each: events
  id: id
  type: type
  time: {from: at, as: unix_seconds}
lead:
  {guid: guid, email: email, keys: {customer: customer}}
rules:
  - name: paid
    events: [paid]
    set:
      city: city
      state: state
      score: {from: score, as: integer, write: sum}
"""
IGNORES_ALL = MAPPING.replace("events: [paid]", "events: [other]")
Sent = frozenset[tuple[str, frozenset[tuple[str, Wire | None]]]]


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> Any:
    with running(store, tmp_path) as made:
        made.write_mapping(MAPPING)
        yield made


def batch_of(events: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    return [
        {"id": f"e{number}", "type": "paid", "at": START // 1_000_000 + number, **event}
        for number, event in enumerate(events)
    ]


def tried(engine: Engine, events: Sequence[Mapping[str, object]]) -> Rehearsal:
    """What `leadwire try` shows of one request with these events."""
    configuration = engine.sources.current
    source = configuration.sources["shop"]
    assert isinstance(source, Source)
    body = json.dumps({"events": batch_of(events)}).encode()
    headers = {"content-type": "application/json"}
    request = RawRequest(MAIN_ACCOUNT, "shop", "POST", "https://x/hooks/shop", "", headers, body, START)
    return rehearse(configuration, source, request, max_body_bytes=MIB)


def sent_by_try(rehearsal: Rehearsal) -> Sent:
    """The requests that `try` shows for leads that HubSpot can be asked for, by guid."""
    known = [({key.kind: key.value for key in lead.identifiers}, lead) for lead in rehearsal.leads]
    return frozenset(
        (by["guid"], frozenset(lead.would_send.items()))
        for by, lead in known
        if "guid" in by and lead.would_send
    )


def sent_by(work: Sequence[tuple[str, Mapping[str, Wire | None]]]) -> Sent:
    return frozenset((guid, frozenset(fields.items())) for guid, fields in work if fields)


def states_of(engine: Engine) -> list[EventState]:
    with engine.store.read() as connection:
        return [line.state for line in reversed(list_events(connection, MAIN_ACCOUNT, limit=100))]


def test_three_events_that_meet_in_the_last_one_are_one_request(engine: Engine) -> None:
    events: list[dict[str, object]] = [
        {"email": "ann@example.com", "city": "Berlin"},
        {"customer": "c1", "state": "BE"},
        {"email": "ann@example.com", "customer": "c1", "guid": "g1", "score": 3},
    ]

    rehearsal = tried(engine, events)
    engine.post({"events": batch_of(events)})

    assert sent_by_try(rehearsal) == sent_by(engine.work())
    assert [dict(lead.would_send) for lead in rehearsal.leads] == [
        {"city": "Berlin", "state": "BE", "score": 3}
    ]


def test_an_event_that_contradicts_the_one_before_is_a_dead_letter_in_both(engine: Engine) -> None:
    events: list[dict[str, object]] = [
        {"guid": "g1", "email": "ann@example.com", "city": "Berlin"},
        {"guid": "g2", "email": "ann@example.com", "state": "BE"},
    ]

    rehearsal = tried(engine, events)
    engine.post({"events": batch_of(events)})
    sent = engine.work()

    assert [event.end.state for event in rehearsal.events] == states_of(engine)
    assert [event.dead and event.dead.code for event in rehearsal.events] == [
        None,
        "contradicting_identifiers",
    ]
    assert sent_by_try(rehearsal) == sent_by(sent) == frozenset({("g1", frozenset({("city", "Berlin")}))})


EVENTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "guid": st.sampled_from(["g1", "g2"]),
            "email": st.sampled_from(["ann@example.com", "bob@example.com"]),
            "customer": st.sampled_from(["c1", "c2", "c3"]),
            "city": st.sampled_from(["Berlin", "Paris"]),
            "state": st.sampled_from(["BE", "IF", ["no text"]]),
            "score": st.integers(1, 3),
        },
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    """Two installations of their own, each on SQLite."""
    with ExitStack() as stack:
        made = []
        for name in ("live", "late"):
            folder = tmp_path_factory.mktemp(name)
            store = Store(f"sqlite:///{folder}/leadwire.db")
            stack.callback(store.dispose)
            upgrade(store)
            made.append(stack.enter_context(running(store, folder)))
        yield made[0], made[1]


def emptied(engine: Engine) -> Engine:
    with engine.store.write() as connection:
        for table in (tables.requests, tables.events, tables.leads, tables.identifiers, tables.updates):
            connection.execute(delete(table))
    return engine


def sent_by_plan(plan: Plan) -> Sent:
    return frozenset(
        (lead.identifiers["guid"], frozenset((field.name, field.after.value) for field in lead.fields))
        for lead in plan.leads
        if "guid" in lead.identifiers
    )


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.integers(1, 8))
def test_try_worker_plan_and_replay_agree_on_any_events(
    engines: tuple[Engine, Engine], events: list[dict[str, object]], batch: int
) -> None:
    live, late = (emptied(engine) for engine in engines)
    live.write_mapping(MAPPING)
    live.batch = batch
    rehearsal = tried(live, events)
    live.post({"events": batch_of(events)})
    worked = sent_by(live.work())

    # The same request is ignored at first, then replayed with a mapping that means it: planned, then done.
    late.write_mapping(IGNORES_ALL)
    late.post({"events": batch_of(events)})
    assert late.work() == []
    late.write_mapping(MAPPING)
    planned = sent_by_plan(late.plan())
    late.replay()

    assert [event.end.state for event in rehearsal.events] == states_of(live) == states_of(late)
    assert sent_by_try(rehearsal) == worked == planned == sent_by(late.work())
