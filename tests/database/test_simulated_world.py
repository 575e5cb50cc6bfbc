"""One seam is enough: clocks, waits, threads, locks and chance are those of a world that a test made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from integration.config.sources import Source, Sources
from integration.core.clock import now
from integration.core.errors import StoreUnavailableError
from integration.core.settings import RateLimit, Settings
from integration.core.values import MAIN_ACCOUNT, Cause, Operation, Outcome, RawRequest
from integration.core.world import Event, world
from integration.lead.record import BundleTiming
from integration.operate.alerts import Alerts
from integration.pipeline.accept import Accepted, Intake
from integration.pipeline.deliver import Deliverer
from integration.pipeline.translate import Translator
from integration.pipeline.verification import Verifier, published
from integration.store.engine import Store
from integration.store.patience import patiently
from integration.worker import Worker
from tests.engine import DAY, MAPPING, MIB, SECOND, START, FakeHubSpot
from tests.simulated import HangError, SimulatedWorld

AWAY = Outcome("again", 503, Cause("hubspot_unavailable", "HubSpot answered 503", "it is tried again"))
REFUSED = Outcome("set_aside", 400, Cause("refused_by_hubspot", "HubSpot answered 400: no", "correct it"))
LEADS = "abcdefgh"
HOUR = 3600.0


class MoodyHubSpot(FakeHubSpot):
    """Takes its time, is away now and then, and refuses a few: as the world's chance has it."""

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        return world().outside(super().send, operations)

    def _take(self, operation: Operation) -> Outcome:
        chance = world().chance()
        self.outcome = AWAY if chance < 0.4 else REFUSED if chance < 0.5 else Outcome("done", 200)
        return super()._take(operation)


class Place:
    """A store and a mapping in a folder of their own, and what goes on there."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder}/leadwire.db")
        mapping = folder / "mappings/shop/mapping.yaml"
        mapping.parent.mkdir(parents=True)
        mapping.write_text(MAPPING)
        self.sources = Sources(folder / "mappings", {"SHOP_TOKEN": "opensesame"})
        self.hubspot = MoodyHubSpot()
        self.answered: list[str] = []
        self.posted: list[object] = []
        self._waiting: list[Event] = []
        self.stopping = world().event()

    def listener(self) -> Event:
        self._waiting.append(world().event())
        return self._waiting[-1]

    def news(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    def senders(self, number: int, within_seconds: float) -> None:
        """So many send one event each, at any time within these seconds; returns when all are answered."""
        intake = Intake(
            self.store, self.sources, now, Verifier(published(self.store, MAIN_ACCOUNT, allow_private=False)),
            max_body_bytes=MIB, rejected_keep=10,
        )  # fmt: skip

        def send(event: int) -> None:
            world().sleep(world().chance() * within_seconds)
            body = {
                "id": f"e{event}",
                "type": "paid",
                "at": now() // SECOND,
                "guid": LEADS[event % len(LEADS)],
            }
            raw = json.dumps({**body, "city": f"city {event}", "score": 1}).encode()
            headers = {"content-type": "application/json", "x-token": "opensesame"}
            source = intake.source("shop")
            assert isinstance(source, Source)
            request = RawRequest(
                MAIN_ACCOUNT, "shop", "POST", "https://x/hooks/shop", "", headers, raw, now()
            )
            accepted = intake.accept(source, request)
            assert isinstance(accepted, Accepted)
            self.answered.append(accepted.receipt.id)
            self.news()

        pool = world().pool(number, name="sender")
        futures = [pool.submit(send, event) for event in range(number)]
        for future in futures:
            future.result()
        intake.close()

    def rows(self) -> dict[str, list[Any]]:
        tables = "requests", "events", "leads", "identifiers", "updates", "attempts", "alerts", "budget_slots"
        with self.store.read() as connection:
            return {
                table: [
                    tuple(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))
                ]
                for table in tables
            }

    @property
    def outcome(self) -> dict[str, object]:
        """All that anybody could see."""
        return {
            "rows": self.rows(), "answered": self.answered, "sent": self.hubspot.sent, "alerts": self.posted,
        }  # fmt: skip


def a_day(place: Place) -> None:
    """Events come all day; they are accepted, translated, delivered with back-off, and alerts are told."""
    attempts = iter([StoreUnavailableError("away")] * 3)

    def there() -> bool:
        for error in attempts:
            raise error
        return True

    assert patiently(there, place.stopping.wait)
    translator = Translator(
        place.store,
        MAIN_ACCOUNT,
        place.sources,
        now,
        BundleTiming(5 * SECOND, 60 * SECOND),
        worker="w",
        max_body_bytes=MIB,
    )
    deliverer = Deliverer(
        place.store, MAIN_ACCOUNT, place.hubspot, now, RateLimit(4, 1), worker="w", concurrency=3
    )
    alerts = Alerts(place.store, MAIN_ACCOUNT, now, lambda message: place.posted.append(dict(message)))

    def deliver() -> float:
        claim = deliverer.claim(3)
        for job in claim.jobs:
            deliverer.start(job, place.news)
        if claim.jobs:
            return 0
        return HOUR if claim.wait_until is None else (claim.wait_until - now()) / SECOND

    def translate() -> float:
        if translator.run_once():
            place.news()
            return 0
        return HOUR / 4

    threads = [
        world().thread(repeating(place, step), name=step.__name__)
        for step in (translate, deliver, told(alerts, place))
    ]
    for thread in threads:
        thread.start()
    place.senders(30, 20 * 3600)
    world().sleep((START + DAY - now()) / SECOND)
    place.stopping.set()
    place.news()
    for thread in threads:
        thread.join()
    deliverer.close()


def repeating(place: Place, step: Callable[[], float]) -> Callable[[], None]:
    """Make the step, and wait for as many seconds as it says or until there is news."""
    news = place.listener()

    def repeat() -> None:
        while not place.stopping.is_set():
            news.wait(step())
            news.clear()

    return repeat


def told(alerts: Alerts, place: Place) -> Callable[[], float]:
    def alert() -> float:
        alerts.step(place.stopping.is_set)
        return HOUR

    return alert


def a_worker(place: Place) -> None:
    """A whole worker, with all its threads, for twenty seconds."""
    settings = Settings.read({"HUBSPOT_ACCESS_TOKEN": "none", "BUNDLE_WINDOW": "1", "BUNDLE_MAX_WAIT": "5"})
    worker = Worker(place.store, place.sources, place.hubspot, settings)
    working = world().thread(worker.run, name="worker")
    working.start()
    place.senders(20, 5.0)
    world().sleep((START + 20 * SECOND - now()) / SECOND)
    worker.stop()
    working.join()


@pytest.fixture
def live(tmp_path: Path, migrated_file: Path) -> Callable[[int, Callable[[Place], None]], dict[str, object]]:
    """Live through a story with a seed; returns what came of it."""
    lives: list[int] = []

    def live(seed: int, story: Callable[[Place], None]) -> dict[str, object]:
        lives.append(seed)
        folder = tmp_path / str(len(lives))
        folder.mkdir()
        shutil.copy(migrated_file, folder / "leadwire.db")
        simulated = SimulatedWorld(seed, START)

        def whole() -> dict[str, object]:
            place = Place(folder)
            story(place)
            place.store.dispose()
            return place.outcome

        return {**simulated.run(whole), "history": simulated.history}

    return live


Live = Callable[[int, Callable[[Place], None]], dict[str, Any]]


@pytest.mark.parametrize("story", [a_day, a_worker])
def test_the_same_seed_gives_the_same_world_to_the_last_id(
    live: Live, story: Callable[[Place], None]
) -> None:
    first, again, other = live(1, story), live(1, story), live(2, story)

    assert first == again
    assert first["answered"] != other["answered"]
    assert first["history"] != other["history"]


def test_a_day_of_waiting_and_back_off_passes_at_once_and_everything_arrives(live: Live) -> None:
    day = live(3, a_day)

    times = [at for at, _ in day["history"]]
    assert (min(times), max(times)) == (START, START + DAY)
    assert len(day["rows"]["events"]) == len(set(day["answered"])) == 30
    assert len(day["rows"]["attempts"]) > len(day["sent"]) * 0.5
    assert any("refused_by_hubspot" in json.dumps(message) for message in day["alerts"])
    newest = {guid: dict(fields) for guid, fields in day["sent"]}
    assert set(newest) == set(LEADS)


def test_who_waits_for_what_nobody_does_is_found() -> None:
    with pytest.raises(HangError, match=r"all wait for ever: \['story'\]"):
        SimulatedWorld(1, START).run(lambda: world().event().wait())
