"""SIGTERM in the middle of an attempt: it is finished and written down, and the process ends with 0."""

from __future__ import annotations

import time
from pathlib import Path

import requests
from sqlalchemy import text

from integration.store.engine import Store
from tests.acceptance.deployment import Deployment


def test_a_worker_finishes_the_attempt_in_hand(tmp_path: Path) -> None:
    guid, url = "0" * 32, f"sqlite:///{tmp_path}/leadwire.db"
    with Deployment(url, tmp_path, workers=1) as deployment:
        deployment.seed_lead(guid)
        slow = {"delay_ms": 2000}
        requests.post(f"{deployment.sandbox.url}/_sandbox/faults", json=slow, timeout=5).raise_for_status()
        event = {"id": "evt_1", "type": "payment", "at": 1_700_000_000_000, "guid": guid, "city": "Berlin"}
        assert deployment.post(event).ok
        deployment.wait_until(lambda: lead_state(url) == "leased", "the attempt begins")
        time.sleep(0.5)

        assert deployment.terminate("worker-0") == 0

        assert deployment.lead(guid)["city"] == "Berlin"
        assert lead_state(url) == "clean"


def lead_state(url: str) -> str:
    store = Store(url)
    try:
        with store.read() as connection:
            return str(connection.execute(text("SELECT state FROM leads")).scalar())
    finally:
        store.dispose()
