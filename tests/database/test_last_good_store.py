"""Good versions in the store, requests that are held, and what people are told of both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from integration.config.sources import HeldSource, Source, Sources
from integration.core.values import MAIN_ACCOUNT, RawRequest
from integration.operate.alerts import Alerts
from integration.operate.mapping_alerts import MappingAlerts
from integration.pipeline.accept import Accepted, Intake
from integration.pipeline.held import HeldRequests
from integration.pipeline.keeper import AskedVersions, Keeper, stored_versions
from integration.pipeline.verification import Verifier, published
from integration.store import mapping_rows
from integration.store.backlog import read_backlog
from integration.store.engine import Store
from integration.store.held_rows import held_by_source
from integration.store.mapping_rows import KEPT, StoredVersion
from tests.engine import DAY, MAPPING, MIB, SECOND, START, Engine

FACTS: dict[str, Any] = {"email": "a@example.com", "city": "Rome", "score": 1}
UNFIT = MAPPING.replace("city: city", "cty: city")


@dataclass
class Machine:
    """A process with files of its own over a shared store; `now` stands still unless a test moves it."""

    store: Store
    folder: Path
    now: int = START
    sources: Sources = field(init=False)
    keeper: Keeper = field(init=False)

    def __post_init__(self) -> None:
        versions = AskedVersions(
            MAIN_ACCOUNT,
        )
        environ = {"SHOP_TOKEN": "opensesame"}
        self.sources = Sources(self.folder, environ, versions=versions, only_configured=True)
        self.keeper = Keeper(
            self.store,
            MAIN_ACCOUNT,
            self.sources,
            versions,
            lambda: self.now,
            elapsed=lambda: self.now / SECOND,
        )
        self.keeper.step()

    def save(self, text: str) -> None:
        """Save the mapping file, and look a while later."""
        file = self.folder / "shop/mapping.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.look()

    def look(self) -> None:
        self.now += 60 * SECOND
        self.keeper.step()

    @property
    def rule(self) -> str:
        """The events of the first rule in use."""
        source = self.sources.get("shop")
        assert isinstance(source, Source), source
        return source.mapping.rules[0].events[0]


def machine(store: Store, folder: Path, text: str | None = None) -> Machine:
    if text is not None:
        file = folder / "shop/mapping.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Machine(store, folder)


def texts(store: Store, name: str = "shop") -> list[str]:
    with store.read() as connection:
        return [found.text for found in mapping_rows.versions(connection, MAIN_ACCOUNT, [name])[name]]


def other_rule(name: str) -> str:
    return MAPPING.replace("events: [paid]", f"events: [{name}]")


def test_good_versions_are_kept_the_newest_first_and_bad_ones_never(store: Store, tmp_path: Path) -> None:
    here = machine(store, tmp_path / "a", MAPPING)
    here.save(UNFIT)
    here.save(other_rule("refunded"))
    here.save(MAPPING)

    assert texts(store) == [MAPPING, other_rule("refunded")]
    assert texts(store, "fields") == []


def test_what_a_translator_saw_first_is_kept_too(store: Store, tmp_path: Path) -> None:
    here = machine(store, tmp_path / "a", UNFIT)
    (tmp_path / "a/shop/mapping.yaml").write_text(MAPPING)
    here.sources.ready_for({"shop"})
    here.look()

    assert texts(store) == [MAPPING]


def test_a_second_machine_whose_file_is_bad_follows_the_newest_good_one(store: Store, tmp_path: Path) -> None:
    good, bad = machine(store, tmp_path / "a", MAPPING), machine(store, tmp_path / "b", UNFIT)
    assert bad.rule == "paid"
    good.save(other_rule("refunded"))
    bad.look()
    assert bad.rule == "refunded"
    bad.save(other_rule("won"))

    assert (good.rule, bad.rule) == ("refunded", "won")
    assert bad.sources.current.mistakes == {}


def test_a_folder_of_mappings_that_is_not_mounted_costs_nothing(store: Store, tmp_path: Path) -> None:
    machine(store, tmp_path / "a", MAPPING)

    assert machine(store, tmp_path / "not-there").rule == "paid"


def test_of_each_file_only_the_newest_versions_stay(store: Store) -> None:
    for number in range(KEPT + 5):
        with store.write() as connection:
            version = StoredVersion("shop", f"d{number}", f"text {number}", START + number)
            mapping_rows.put(connection, MAIN_ACCOUNT, [version, StoredVersion("mill", "d", "m", START)])

    assert texts(store) == [f"text {number}" for number in reversed(range(5, KEPT + 5))]
    assert texts(store, "mill") == ["m"]
    assert {*stored_versions(store, MAIN_ACCOUNT).names()} == {"shop", "mill"}


def said_unkept(caplog: pytest.LogCaptureFixture) -> int:
    return len([record for record in caplog.records if "cannot be kept or found" in record.message])


def test_a_store_without_its_table_keeps_no_process_from_its_files_and_is_told_by_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = Store(f"sqlite:///{tmp_path}/empty.db")
    here = machine(empty, tmp_path / "a", MAPPING)
    for _ in range(3):
        here.look()

    assert here.rule == "paid"
    assert said_unkept(caplog) == 0
    empty.dispose()


def test_what_else_keeps_a_version_from_being_stored_is_said_once(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk says no")

    monkeypatch.setattr("integration.store.mapping_rows.put", broken)
    here = machine(store, tmp_path / "a", MAPPING)
    for _ in range(3):
        here.look()

    assert here.rule == "paid"
    assert said_unkept(caplog) == 1
    assert "the disk says no" in caplog.text


def test_events_wait_while_no_version_of_their_mapping_is_good(store: Store, engine: Engine) -> None:
    assert engine.post({"id": "e1", **FACTS})
    engine.write_mapping(UNFIT)
    engine.translate()
    with store.read() as connection:
        backlog = read_backlog(connection, MAIN_ACCOUNT)
    assert (backlog.events_received, backlog.dead_events) == (1, {})
    engine.write_mapping(MAPPING)
    engine.now += 6 * SECOND
    engine.translate()

    assert engine.values("a@example.com") == {"city": "Rome", "score": 1}


# Held requests


@pytest.fixture
def held(store: Store, tmp_path: Path) -> Machine:
    here = machine(store, tmp_path / "held", UNFIT)
    assert isinstance(here.sources.get("shop"), HeldSource)
    return here


def post(here: Machine, body: bytes) -> Accepted:
    verifier = Verifier(published(here.store, MAIN_ACCOUNT, allow_private=False))
    intake = Intake(
        here.store, here.sources, lambda: here.now, verifier, max_body_bytes=MIB, rejected_keep=10
    )
    headers = {"content-type": "application/json", "x-token": "opensesame"}
    request = RawRequest(MAIN_ACCOUNT, "shop", "POST", "/hooks/shop", "", headers, body, here.now)
    try:
        accepted = intake.accept(intake.source("shop"), request)
    finally:
        intake.close()
    assert isinstance(accepted, Accepted)
    return accepted


def take_apart(here: Machine) -> int:
    return HeldRequests(here.store, MAIN_ACCOUNT, here.sources, max_body_bytes=MIB).step()


PAID = json.dumps({"id": "e1", "type": "paid", "at": START // SECOND, **FACTS}).encode()


def test_a_held_request_is_taken_apart_once_whoever_does_it(held: Machine, engine: Engine) -> None:
    for _ in range(3):
        assert not post(held, PAID).receipt.duplicate
    post(held, b"{")
    with held.store.read() as connection:
        assert held_by_source(connection, MAIN_ACCOUNT)["shop"].count == 4
        assert read_backlog(connection, MAIN_ACCOUNT).events_received == 0
    assert take_apart(held) == 0
    held.save(MAPPING)
    assert take_apart(held) == 4
    assert take_apart(machine(held.store, held.folder)) == 0
    engine.translate()

    assert engine.values("a@example.com") == {"city": "Rome", "score": 1}
    with held.store.read() as connection:
        backlog = read_backlog(connection, MAIN_ACCOUNT)
    assert backlog.held == {}
    assert backlog.dead_events == {"malformed_body": 1}


def test_retention_leaves_held_requests_alone(held: Machine, engine: Engine) -> None:
    post(held, PAID)
    engine.now = held.now + 90 * DAY
    engine.prune()
    held.save(MAPPING)

    assert take_apart(held) == 1


# Alerts


def test_a_mistake_that_lasts_is_told_once_an_hour_and_its_end_once(held: Machine) -> None:
    posted: list[dict[str, object]] = []
    alerts = Alerts(held.store, MAIN_ACCOUNT, lambda: held.now, lambda message: posted.append(dict(message)))
    told = MappingAlerts(held.sources)

    def step(seconds: int) -> None:
        held.now += seconds * SECOND
        told.step(alerts, lambda: False)

    for seconds in (0, 30, 31, 30, 600):
        step(seconds)
    assert [message["alert"] for message in posted] == ["mapping_refused"]
    assert str(posted[0]["text"]).startswith("Leadwire: held/shop/mapping.yaml:16 has a mistake")
    assert "cty is not a field of a lead" in str(posted[0]["text"])
    step(3600)
    held.save(MAPPING)
    for _ in range(3):
        step(31)

    assert [message["alert"] for message in posted] == ["mapping_refused", "mapping_refused", "mapping_fixed"]
