"""kill -9 of web and worker at random points under load: no accepted event is lost, every lead is right."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import Deployment

LEADS = 20
Payload = dict[str, object]


def event(number: int, chance: random.Random) -> Payload:
    at = 1_700_000_000_000 + chance.randrange(1_000_000)
    return {
        "id": f"evt_{number:06}",
        "type": "payment",
        "at": at,
        "guid": f"{chance.randrange(LEADS):032x}",
        "city": f"city {chance.randrange(10**6)}" if chance.random() < 0.7 else None,
        "phone": f"phone {chance.randrange(10**6)}",
        "score": chance.randrange(1000),
    }


def expected(events: list[Payload]) -> dict[str, dict[str, object]]:
    """The leads as they must end, computed from the events alone."""
    leads: dict[str, dict[str, object]] = {}
    for item in sorted(events, key=lambda item: (item["at"], item["id"])):
        lead = leads.setdefault(str(item["guid"]), {"closedAt": int(str(item["at"])), "score": 0})
        lead["phone"] = item["phone"]
        lead["score"] = max(int(str(lead["score"])), int(str(item["score"])))
        if item["city"] is not None:
            lead["city"] = item["city"]
    return leads


def send_until_accepted(deployment: Deployment, payloads: list[Payload], stop_at: float) -> None:
    """As a sender does: anything but a 2xx is sent again."""
    for payload in payloads:
        while True:
            assert time.monotonic() < stop_at, "an event was never accepted"
            try:
                if deployment.post(payload).ok:
                    break
            except requests.RequestException:
                pass
            time.sleep(0.05)


def kill_at_random(
    deployment: Deployment, chance: random.Random, times: int, done: Callable[[], bool]
) -> int:
    for count in range(times):
        time.sleep(chance.uniform(0.1, 1.2))
        if done():
            return count
        name = chance.choice(list(deployment.commands))
        deployment.kill(name)
        deployment.start(name)
    return times


def run_round(database_url: str, folder: Path, seed: int, *, events: int, kills: int) -> int:
    chance = random.Random(seed)
    payloads = [event(number, chance) for number in range(events)]
    sent = payloads + chance.sample(payloads, events // 10)
    chance.shuffle(sent)
    with Deployment(database_url, folder) as deployment:
        for number in range(LEADS):
            deployment.seed_lead(f"{number:032x}")
        stop_at = time.monotonic() + 300
        senders = [
            threading.Thread(target=send_until_accepted, args=(deployment, sent[start::8], stop_at))
            for start in range(8)
        ]
        for sender in senders:
            sender.start()
        killed = kill_at_random(
            deployment, chance, kills, lambda: not any(sender.is_alive() for sender in senders)
        )
        for sender in senders:
            sender.join()
        model = expected(payloads)
        deployment.wait_until(lambda: wrong_leads(deployment, model) == {}, "every lead is right", 90)
    return killed


def wrong_leads(deployment: Deployment, model: dict[str, dict[str, object]]) -> dict[str, object]:
    wrong: dict[str, object] = {}
    for guid, fields in model.items():
        lead = deployment.lead(guid)
        found = {name: lead.get(name) for name in fields}
        found["closedAt"] = int(str(found["closedAt"]))
        if found != fields:
            wrong[guid] = {
                name: (found[name], value) for name, value in fields.items() if found[name] != value
            }
    return wrong


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_every_lead_is_right(database_url: str, tmp_path: Path) -> None:
    assert run_round(database_url, tmp_path, seed=1, events=400, kills=6) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 8))
def test_thirty_kills_and_more(database_url: str, tmp_path: Path, seed: int) -> None:
    assert run_round(database_url, tmp_path, seed=seed, events=3000, kills=8) > 0
