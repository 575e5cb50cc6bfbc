"""The same job by Leadwire and by the usual set-ups, in one run: rates, requests, stale leads, lost events.

The job: events on leads, each sets one of two fields; 5 % come late and 5 % twice, as providers send them.
Three runs for each set-up: (a) everything against a stand-in that answers at once; (b) fewer events against
the sandbox, which allows 200 requests in 10 s; (c) one event for each of many leads, with kill -9 of all its
processes in the middle (not of Redis); the sender sends again what was not accepted.

The other set-ups (bench/others) run in an environment of their own, made from bench/others/requirements.txt;
Celery also needs redis-server. What is missing is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests as http
from common import ROOT, free_port
from sender import request, send_all

from integration.core.settings import RateLimit
from integration.sandbox import run_sandbox

OTHERS = ROOT / "bench/others"
LIMIT = RateLimit(200, 10)
SECRET = "whsec_benchmark"
LATE_BY = 500
CONNECTIONS = 32
LONGEST_WAIT = 180.0
MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: stripe, secrets: [SHOP_SECRET]}
event:
  id: id
  type: type
  time: {from: at, as: unix_millis}
lead:
  guid: guid
rules:
  - name: everything
    events: ["*"]
    set:
      city: city
      phone: phone
"""

Event = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """A set-up: the processes that it runs (name to command), and settings beside the common ones."""

    name: str
    processes: Mapping[str, Sequence[str]]
    settings: Mapping[str, str] = field(default_factory=dict)
    limited: Mapping[str, str] = field(default_factory=dict)
    needs_redis: bool = False
    quiet_after_kill: float = 15.0


def setups(python: str) -> list[Setup]:
    """All set-ups; `python` is that of the environment of the others."""
    web = (python, "-m", "gunicorn", "-w", "2", "-k", "gthread", "--threads", "16", "-b", "127.0.0.1:{port}")
    celery = {
        "web": (*web, "queued:app"),
        "worker": (python, "-m", "celery", "-A", "queued:celery", "worker", "-c", "8", "-l", "WARNING"),
    }
    leadwire = {
        "web": (
            sys.executable, "-m", "gunicorn", "-c", "python:integration.web.gunicorn_conf",
            "integration.web.wsgi:app",
        ),
        "worker": (sys.executable, "-m", "integration", "worker"),
    }  # fmt: skip
    redis: dict[str, Any] = {"needs_redis": True, "quiet_after_kill": 45.0}
    return [
        Setup("Leadwire", leadwire, limited={"HUBSPOT_RATE_LIMIT": str(LIMIT)}),
        Setup("requests.put in the view", {"web": (*web, "in_view:app")}),
        Setup("Celery and Redis", celery, **redis),
        Setup("Celery and Redis, newest time per lead kept", celery, {"GUARD": "1"}, **redis),
    ]


# The job


def job(events: int, leads: int, seed: int) -> list[Event]:
    """Events in the order in which they are sent."""
    dice = random.Random(seed)
    made = [
        {
            "id": f"evt_{number:06}", "type": "update", "at": 1_700_000_000_000 + number,
            "guid": f"{dice.randrange(leads):032x}", dice.choice(("city", "phone")): f"value {number}",
        }
        for number in range(events)
    ]  # fmt: skip
    sent: list[tuple[float, Event]] = []
    for number, event in enumerate(made):
        late = dice.uniform(1, LATE_BY) if dice.random() < 0.05 else 0
        sent.append((number + late, event))
        if dice.random() < 0.05:
            sent.append((number + dice.uniform(1, LATE_BY), event))
    return [event for _, event in sorted(sent, key=lambda item: item[0])]


def right_leads(events: Iterable[Event]) -> dict[str, dict[str, str]]:
    """Each lead as it must be in the end: each field from the newest event that sets it."""
    leads: dict[str, dict[str, str]] = {}
    for event in sorted(events, key=lambda event: event["at"]):
        fields = {name: event[name] for name in ("city", "phone") if name in event}
        leads.setdefault(event["guid"], {}).update(fields)
    return leads


def wrong(right: Mapping[str, Mapping[str, str]], leads: Mapping[str, Mapping[str, Any]]) -> int:
    """How many leads do not have the newest value in each field."""
    return sum(
        any(leads.get(guid, {}).get(name) != value for name, value in fields.items())
        for guid, fields in right.items()
    )


# The processes


class Running:
    """A set-up that runs, until the block ends."""

    def __init__(self, setup: Setup, folder: Path, hubspot: str, settings: Mapping[str, str]) -> None:
        self.setup = setup
        self.port = free_port()
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "mappings/shop").mkdir(parents=True)
        (folder / "mappings/shop/mapping.yaml").write_text(MAPPING)
        (folder / "metrics").mkdir()
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{OTHERS}",
            "DATABASE_URL": f"sqlite:///{folder}/leadwire.db",
            "MAPPINGS_DIR": str(folder / "mappings"),
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
            "SHOP_SECRET": SECRET,
            "HUBSPOT_BASE_URL": hubspot,
            "HUBSPOT_ACCESS_TOKEN": "bench-token",
            "HUBSPOT_RATE_LIMIT": "5000/1",
            "PORT": str(self.port),
            **setup.settings,
            **settings,
        }

    def start(self) -> None:
        for name, command in self.setup.processes.items():
            with (self._folder / f"{name}.log").open("ab") as log:
                self._processes.append(
                    subprocess.Popen(
                        [part.format(port=self.port) for part in command],
                        env=self._environment, cwd=self._folder, stdout=log, stderr=log,
                        start_new_session=True,
                    )
                )  # fmt: skip

    def wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(http.RequestException):
                http.get(f"http://127.0.0.1:{self.port}/", timeout=1)
                time.sleep(3)  # Celery says nothing when it is ready
                return
            time.sleep(0.1)
        sys.exit(f"{self.setup.name} did not start: {(self._folder / 'web.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """kill -9 of everything at once."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait(10)
        self._processes.clear()

    def __enter__(self) -> Running:
        if self.setup.name == "Leadwire":
            upgrade = [sys.executable, "-m", "integration", "db", "upgrade"]
            subprocess.run(upgrade, env=self._environment, cwd=ROOT, check=True, capture_output=True)
        self.start()
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextmanager
def running(setup: Setup, hubspot: str, settings: Mapping[str, str]) -> Iterator[Running]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        redis = {}
        if setup.needs_redis:
            redis = {"REDIS_URL": stack.enter_context(redis_server(folder))}
        yield stack.enter_context(Running(setup, folder, hubspot, {**redis, **settings}))


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Redis with its log of commands on, as one who minds losing tasks runs it."""
    port = str(free_port())
    command = ["redis-server", "--port", port, "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def fast_standin() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(ROOT / "bench/fast_standin.py"), str(port)])
    time.sleep(0.5)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def wait_until_quiet(made: Callable[[], int], seconds: float) -> None:
    """Return when no request came for so long, or after LONGEST_WAIT."""
    until, before, since = time.monotonic() + LONGEST_WAIT, -1, time.monotonic()
    while time.monotonic() < until:
        if (now := made()) != before:
            before, since = now, time.monotonic()
        if time.monotonic() - since > seconds:
            return
        time.sleep(0.5)


# The runs


def at_full_speed(setup: Setup, sent: Sequence[Event]) -> Mapping[str, str]:
    with fast_standin() as hubspot, running(setup, hubspot, {}) as leadwire:
        bodies = [request(json.dumps(e).encode(), SECRET, leadwire.port, "/hooks/shop") for e in sent]
        began = time.time()
        statuses, seconds = send_all(leadwire.port, bodies, connections=CONNECTIONS)
        wait_until_quiet(lambda: int(received(hubspot)["requests"]), 12)
        found = received(hubspot)
    return {
        "accepted": f"{statuses.count(200) / seconds:,.0f}/s",
        "answered with an error": f"{len(sent) - statuses.count(200):,}",
        "requests to HubSpot": f"{found['requests']:,}",
        "all sent after": f"{found['last'] - began:.0f} s",
        "leads with an older value": f"{wrong(right_leads(sent), found['leads']):,}",
    }


def received(hubspot: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"{hubspot}/received", timeout=30).json()
    return found


def under_the_limit(setup: Setup, sent: Sequence[Event]) -> Mapping[str, str]:
    right = right_leads(sent)
    with run_sandbox(0, LIMIT) as sandbox:
        for guid in right:
            http.put(f"{sandbox.url}/_sandbox/leads/{guid}", json={}, timeout=5).raise_for_status()
        with running(setup, sandbox.url, setup.limited) as leadwire:
            bodies = [request(json.dumps(e).encode(), SECRET, leadwire.port, "/hooks/shop") for e in sent]
            began = time.time()
            statuses, _ = send_all(leadwire.port, bodies, connections=2 * CONNECTIONS)
            stats = lambda: http.get(f"{sandbox.url}/_sandbox/stats", timeout=30).json()  # noqa: E731
            wait_until_quiet(lambda: int(stats()["requests"]), 15)
        refused = stats()["refused"]
        made = http.get(f"{sandbox.url}/_sandbox/requests", timeout=30).json()
        leads = http.get(f"{sandbox.url}/_sandbox/leads", timeout=30).json()
    done = [item for item in made if item["status"] == 200]
    return {
        "answered with an error": f"{len(sent) - statuses.count(200):,}",
        "requests to HubSpot": f"{len(made):,}",
        "of these refused (429)": f"{refused:,}",
        "last update after": f"{max(item['time'] for item in done) / 1e6 - began:.0f} s",
        "updates lost": f"{lost_updates(sent, done):,}",
        "leads with an older value": f"{wrong(right, by_guid(leads)):,}",
    }


def by_guid(leads: Any) -> dict[str, dict[str, Any]]:
    return {lead["guid"]: lead for lead in (leads.values() if isinstance(leads, dict) else leads)}


def lost_updates(sent: Sequence[Event], done: Sequence[Mapping[str, Any]]) -> int:
    """Events whose value never reached HubSpot, and no newer one of their field instead."""
    newest: dict[tuple[str, str], int] = {}
    for item in done:
        body = json.loads(item["body"]) if isinstance(item["body"], str) else item["body"]
        for name in ("city", "phone"):
            if name in body:
                key = (body["guid"], name)
                newest[key] = max(newest.get(key, -1), int(body[name].removeprefix("value ")))
    unique = {event["id"]: event for event in sent}.values()
    return sum(
        newest.get((event["guid"], name), -1) < event["at"] - 1_700_000_000_000
        for event in unique for name in ("city", "phone") if name in event
    )  # fmt: skip


def with_a_kill(setup: Setup, events: int) -> Mapping[str, str]:
    sent = [
        {
            "id": f"evt_{n:06}",
            "type": "update",
            "at": 1_700_000_000_000 + n,
            "guid": f"{n:032x}",
            "city": "Rome",
        }
        for n in range(events)
    ]
    with fast_standin() as hubspot, running(setup, hubspot, {}) as leadwire:
        bodies = [request(json.dumps(e).encode(), SECRET, leadwire.port, "/hooks/shop") for e in sent]

        def kill_in_the_middle(accepted: int) -> None:
            if accepted == events // 2:
                leadwire.kill()
                leadwire.start()

        send_all(
            leadwire.port, bodies, connections=CONNECTIONS, until_accepted=True, on_answer=kill_in_the_middle
        )
        wait_until_quiet(lambda: int(received(hubspot)["requests"]), setup.quiet_after_kill)
        found = received(hubspot)
    return {
        "accepted": f"{events:,}",
        "requests to HubSpot": f"{found['requests']:,}",
        "events lost": f"{wrong(right_leads(sent), found['leads']):,}",
    }


# The whole


@contextmanager
def environment_of_the_others() -> Iterator[str]:
    """A Python with the packages of bench/others/requirements.txt; "" if they cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = f"{folder}/bin/python"
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]
        done = subprocess.run([*install, str(OTHERS / "requirements.txt")], check=False)
        yield python if done.returncode == 0 else ""


def available(python: str) -> list[Setup]:
    found = []
    for setup in setups(python):
        if setup.name != "Leadwire" and not python:
            print(f"skipped: {setup.name}: bench/others/requirements.txt could not be installed")
        elif setup.needs_redis and shutil.which("redis-server") is None:
            print(f"skipped: {setup.name}: it needs redis-server: apt-get install redis-server")
        else:
            found.append(setup)
    return found


def table(title: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    headings = list(next(iter(rows.values())))
    print(f"\n{title}\n\n| | {' | '.join(headings)} |\n|{'---|' * (len(headings) + 1)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells[heading] for heading in headings)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--limited-events", type=int, default=1_000)
    parser.add_argument("--killed-events", type=int, default=4_000)
    parser.add_argument("--runs", default="abc", help="which of the runs, as ab")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # with all that it started
    full = job(options.events, options.events // 10, options.seed)
    few = job(options.limited_events, options.limited_events // 5, options.seed)
    with environment_of_the_others() as python:
        found = available(python)
        for letter, title, run in (
            ("a", f"{options.events:,} events, no limit", lambda setup: at_full_speed(setup, full)),
            (
                "b",
                f"{options.limited_events:,} events under {LIMIT}",
                lambda setup: under_the_limit(setup, few),
            ),
            ("c", "kill -9 in the middle", lambda setup: with_a_kill(setup, options.killed_events)),
        ):
            if letter not in options.runs:
                continue
            rows = {}
            for setup in found:
                rows[setup.name] = run(setup)
                print(f"{title}: {setup.name}: {rows[setup.name]}", flush=True)
            table(title, rows)


if __name__ == "__main__":
    main()
