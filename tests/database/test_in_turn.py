"""Sources take turns, and a request with many events costs what its body is long, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from integration.body import decode
from integration.config.sources import Source, Sources
from integration.core.values import MAIN_ACCOUNT, Asked, IncomingEvent, RawRequest
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator
from integration.store import inbox
from integration.store.engine import Store
from integration.store.inbox import Arrival, claim_events, store_arrivals, waiting_sources
from tests.engine import MAPPING, MIB, START, Engine
from tests.plans import plan_of

MANY = """\
version: 1
source: many
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event: {each: e, id: i, type: "$.sort(types)[0]"}
lead: {guid: i}
rules:
  - name: all
    events: ["*"]
    set: {city: "$.join(',', cities[?@ == 'Rome'])"}
"""


def arrive(store: Store, source: str, count: int, body: bytes = b"") -> None:
    """One request of this source with so many events."""
    found = tuple(IncomingEvent(number, f"{number:05}", None, None) for number in range(count))
    request = RawRequest(MAIN_ACCOUNT, source, "POST", f"https://x/hooks/{source}", "", {}, body, START)
    with store.write() as connection:
        store_arrivals(connection, [Arrival(request, found)])


def claimed(store: Store, limit: int, now: int = START) -> list[str]:
    """The sources of what one claim takes, with their numbers."""
    with store.write() as connection:
        taken = claim_events(connection, MAIN_ACCOUNT, "w", now, now + 10, limit=limit)
    sources = [event.source for event in taken]
    return [f"{source} {sources.count(source)}" for source in sorted(set(sources))]


class TestClaiming:
    def test_a_source_with_many_events_leaves_room_for_the_others(self, store: Store) -> None:
        arrive(store, "many", 1000)
        arrive(store, "one", 1)
        arrive(store, "some", 100)

        assert claimed(store, 200) == ["many 100", "one 1", "some 99"]
        assert claimed(store, 200) == ["many 199", "some 1"]
        assert claimed(store, 200) == ["many 200"]

    def test_each_source_gives_its_oldest_events(self, store: Store) -> None:
        arrive(store, "many", 1000)
        with store.write() as connection:
            taken = claim_events(connection, MAIN_ACCOUNT, "w", START, START + 10, limit=3)

        assert sorted(event.position for event in taken) == [0, 1, 10], "ids sort as texts"

    def test_of_more_sources_than_a_claim_takes_others_come_first_at_another_time(self, store: Store) -> None:
        for number in range(5):
            arrive(store, f"s{number}", 1)

        first, second = claimed(store, 2, now=START), claimed(store, 2, now=START + 1)

        assert len(first) == len(second) == 2
        assert not {*first} & {*second}

    def test_the_sources_that_wait_are_found(self, store: Store) -> None:
        with store.read() as connection:
            assert waiting_sources(connection, MAIN_ACCOUNT) == []
        for source in ("b", "a", "c"):
            arrive(store, source, 2)
        with store.write() as connection:
            connection.execute(text("UPDATE events SET state = 'translated' WHERE source = 'b'"))
        with store.read() as connection:
            assert waiting_sources(connection, MAIN_ACCOUNT) == ["a", "c"]

    @pytest.mark.parametrize("query", ["sources", "lease"])
    def test_a_claim_walks_along_an_index(self, engine: Engine, query: str) -> None:
        for source in ("a", "b"):
            arrive(engine.store, source, 2000)
        with engine.store.write() as connection:
            connection.execute(text("UPDATE events SET state = 'translated' WHERE position > 100"))
            connection.execute(text("ANALYZE events"))

        def ask(connection: object) -> object:
            if query == "sources":
                return inbox.waiting_sources(connection, MAIN_ACCOUNT)  # type: ignore[arg-type]
            return inbox.lease_of_source(connection, MAIN_ACCOUNT, "a", "w", now=START, until=START, limit=9)  # type: ignore[arg-type]

        plan = plan_of(engine.store, ask)
        assert "events_received_by_source" in plan, plan
        assert "SCAN events" not in plan.replace("SCAN events USING", ""), plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan


def counted(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> list[object]:
    """Keeps what the function was called with first."""
    calls: list[object] = []

    def counting(*given: Any) -> Any:
        calls.append(given[0])
        return function(*given)

    monkeypatch.setattr(name, counting)
    return calls


def test_a_request_is_got_and_decoded_once_however_many_batches_its_events_take(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = counted(monkeypatch, "integration.pipeline.reading.decode", decode)
    got = counted(monkeypatch, "integration.store.inbox.raw_request", inbox.raw_request)
    engine.write_mapping(MANY, "many")
    elements = ",".join(f'{{"i": "{number:05}"}}' for number in range(30))
    body = f'{{"types": ["paid"], "cities": ["Rome", "Oslo"], "e": [{elements}]}}'
    arrive(engine.store, "many", 30, body.encode())
    translator = Translator(
        engine.store, MAIN_ACCOUNT, engine.sources, lambda: engine.now, BundleTiming(0, 0),
        worker="w", max_body_bytes=MIB, batch=7,
    )  # fmt: skip

    batches = []
    while count := translator.run_once():
        batches.append(count)

    assert batches == [7, 7, 7, 7, 2]
    assert (len(decoded), len(got)) == (1, 1)
    assert engine.values("00029") == {"city": "Rome"}


def test_an_expression_over_the_whole_body_is_evaluated_once_for_all_its_events(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "mapping.yaml").write_text(MANY)
    source = Sources(tmp_path, {"SHOP_TOKEN": "t"}).get("many")
    assert isinstance(source, Source)
    mapping = source.mapping
    looked_at = Counted(["Rome", "Oslo"])
    payload = {"types": ["paid"], "cities": looked_at, "e": [{"i": str(number)} for number in range(50)]}

    request = mapping.request_context(payload, {}, "", START)
    translations = [mapping.translate(request.event(position)) for position in range(50)]

    asked = [found.meaning for found in translations]
    assert [one.changes[0].value for one in asked if isinstance(one, Asked)] == ["Rome"] * 50
    assert looked_at.times == 1


class Counted(list[str]):
    """A list that counts how often it is gone through."""

    times = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.times += 1
        return super().__iter__()


def test_many_events_of_a_request_are_found_some_at_a_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[float] = []
    here = SimpleNamespace(sleep=turns.append)
    monkeypatch.setattr("integration.pipeline.accept.world", lambda: here)
    engine.write_mapping(MAPPING.replace("  id: id\n", "  id: id\n  each: e\n"))

    engine.post({"e": [{"id": f"{number}", "type": "paid", "guid": "a"} for number in range(1200)]})

    with engine.store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 1200
    assert turns.count(0) >= 2, "others have their turn in between"
