"""A mistake saved while real processes run: receiving, translating and sending go on as before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from integration.core.values import MAIN_ACCOUNT
from integration.store.engine import Store
from integration.store.held_rows import held_by_source
from integration.store.mapping_rows import newest_digests
from tests.acceptance.deployment import MAPPING, Deployment

GUID = "{:032x}".format
BROKEN = {
    "half of the file": MAPPING[: MAPPING.index("rules:")] + "rules:\n  - name: [",
    "a field that does not exist": MAPPING.replace("city: city", "cty: city"),
    "an empty file": "",
}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    url = f"sqlite:///{tmp_path}/leadwire.db"
    with Deployment(url, tmp_path, workers=1, WEB_CONCURRENCY="1") as deployment:
        deployment.wait_until(lambda: {"shop", "fields"} <= kept(deployment), "the good versions are kept")
        yield deployment


def kept(deployment: Deployment) -> set[str]:
    store = Store(deployment.environment["DATABASE_URL"])
    with store.read() as connection:
        names = set(newest_digests(connection, "main"))
    store.dispose()
    return names


def held(deployment: Deployment) -> int:
    store = Store(deployment.environment["DATABASE_URL"])
    with store.read() as connection:
        found = held_by_source(connection, MAIN_ACCOUNT)
    store.dispose()
    return found["shop"].count if "shop" in found else 0


def command(deployment: Deployment, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "integration", *arguments, "--json"],
        env=deployment.environment, cwd=deployment.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout)


def is_told(deployment: Deployment) -> bool:
    return (
        "mapping.refused" in (deployment.folder / "web.log").read_text()
        and "mapping.refused" in (deployment.folder / "worker-0.log").read_text()
    )


def file_of(deployment: Deployment) -> Path:
    return deployment.folder / "mappings/shop/mapping.yaml"


def sent(deployment: Deployment, number: int, city: str) -> None:
    """Post an event, and wait until HubSpot has what it says."""
    guid = GUID(number)
    deployment.seed_lead(guid)
    answer = deployment.post({"id": f"evt_{number}", "type": "paid", "at": 1_750_000_000_000 + number,
                              "guid": guid, "city": city, "paid": 7})  # fmt: skip
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    deployment.wait_until(lambda: deployment.lead(guid).get("city") == city, f"{city} is at HubSpot")
    assert deployment.lead(guid)["spent"] == 7


@pytest.mark.parametrize("mistake", BROKEN)
def test_events_are_translated_and_sent_with_the_last_good_version(
    deployment: Deployment, mistake: str
) -> None:
    sent(deployment, 1, "Rome")
    file_of(deployment).write_text(BROKEN[mistake])
    (deployment.folder / "mappings/fields.yaml").write_text("version: 1\nfields:\n  spent: {type: int}\n")
    deployment.wait_until(lambda: is_told(deployment), "the mistake is told")
    sent(deployment, 2, "Oslo")
    for name in ("web", "worker-0"):
        assert deployment.terminate(name) == 0
        deployment.start(name)
    deployment.wait_until(deployment.web_answers, "the web process is back")
    sent(deployment, 3, "Bern")
    assert requests.get(f"{deployment.url}/readyz", timeout=10).status_code == 200
    metrics = requests.get(f"{deployment.url}/metrics", timeout=10).text
    assert 'leadwire_mapping_mistakes{source="shop"} 1.0' in metrics
    status = command(deployment, "status")
    assert {*status["mappings"]} == {"shop", "fields"}
    assert status["mappings"]["shop"]["goes_on"].startswith("The last good version, of ")
    (shop,) = [found for found in command(deployment, "sources")["sources"] if found["source"] == "shop"]
    assert shop["enabled"]
    assert "mappings/shop/mapping.yaml:" in shop["state"]


def test_a_second_machine_with_the_broken_file_goes_on_as_well(deployment: Deployment) -> None:
    sent(deployment, 1, "Rome")
    deployment.kill("worker-0")
    other = deployment.folder / "other"
    (other / "shop").mkdir(parents=True)
    (other / "shop/mapping.yaml").write_text(BROKEN["a field that does not exist"])
    deployment.environment["MAPPINGS_DIR"] = str(other)
    deployment.start("worker-0")
    sent(deployment, 2, "Oslo")


def test_with_no_good_version_requests_are_held_and_taken_apart_once_it_is_fixed(tmp_path: Path) -> None:
    deployment = Deployment(f"sqlite:///{tmp_path}/leadwire.db", tmp_path, workers=1, WEB_CONCURRENCY="1")
    file_of(deployment).write_text(BROKEN["a field that does not exist"])
    with deployment:
        guid = GUID(1)
        deployment.seed_lead(guid)
        event = {
            "id": "evt_1",
            "type": "paid",
            "at": 1_750_000_000_000,
            "guid": guid,
            "city": "Rome",
            "paid": 7,
        }
        for _ in range(2):  # the sender says it twice
            assert deployment.post(event).json()["status"] == "accepted"
        bad = requests.post(f"{deployment.url}/hooks/shop", data=b"{}", timeout=10)
        assert bad.status_code == 401
        assert held(deployment) == 2
        status = command(deployment, "status")
        assert status["held"]["shop"]["requests"] == 2
        assert status["events"]["waiting"] == 0
        file_of(deployment).write_text(MAPPING)
        deployment.wait_until(lambda: deployment.lead(guid).get("city") == "Rome", "it is at HubSpot")
        assert held(deployment) == 0
        assert deployment.lead(guid)["spent"] == 7
        assert len(command(deployment, "events")["events"]) == 1


def test_the_sending_side_takes_up_fields_without_a_restart_and_survives_mistakes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/leadwire.db"
    with Deployment(url, tmp_path, workers=1, api="contacts", WEB_CONCURRENCY="1") as deployment:
        fields = deployment.folder / "mappings/fields.yaml"
        good = fields.read_text()
        contact = "1001"
        requests.put(f"{deployment.sandbox.url}/_sandbox/contacts/{contact}", json={"email": "a@example.com"},
                     timeout=10).raise_for_status()  # fmt: skip
        requests.put(f"{deployment.sandbox.url}/_sandbox/properties/home_town", json={"type": "string"},
                     timeout=10).raise_for_status()  # fmt: skip
        fields.write_text(good + "contacts: {properties: {city: home_town}}\n")
        deployment.wait_until(
            lambda: "What fields says" in (deployment.folder / "worker-0.log").read_text(), "it is taken up"
        )
        fields.write_text(good + good)
        deployment.wait_until(lambda: is_told(deployment), "the mistake is told")
        payload = {"id": "e", "type": "x", "at": 1_750_000_000_000, "email": "a@example.com", "city": "Oslo"}
        assert deployment.post(payload).status_code == 200

        def home_town() -> object:
            answer = requests.get(f"{deployment.sandbox.url}/_sandbox/contacts/{contact}", timeout=10)
            found = answer.json()
            return found.get("properties", found).get("home_town")

        deployment.wait_until(lambda: home_town() == "Oslo", "it is sent under the name that was given last")
