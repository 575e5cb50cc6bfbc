"""`leadwire serve`: web and worker as real processes, from a signed webhook to the PUT, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.acceptance.deployment import ROOT, TOKEN, Deployment

LEADWIRE = (sys.executable, "-m", "integration")
GUID = "8a4178ae2c1b4f3d9e5a6b7c8d9e0f01"
EVENT = {"id": "evt_1", "type": "payment", "at": 1_700_000_000_000, "guid": GUID, "city": "Rome", "score": 7}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """One process, `leadwire serve`, over a database that does not exist yet."""
    deployment = Deployment(f"sqlite:///{tmp_path}/store/leadwire.db", tmp_path, workers=0)
    (tmp_path / "store" / "leadwire.db").unlink()
    del deployment.environment["PROMETHEUS_MULTIPROC_DIR"]
    deployment.commands = {"serve": ["integration", "serve"]}
    with deployment:
        yield deployment
        if deployment.processes["serve"].poll() is None:
            deployment.terminate("serve")  # kills what it started too, where the test failed before the end


def log_lines(deployment: Deployment) -> list[dict[str, object]]:
    text = (deployment.folder / "serve.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_webhook_becomes_a_put_and_sigterm_ends_everything_well(deployment: Deployment) -> None:
    deployment.seed_lead(GUID)
    assert deployment.post(EVENT).json()["status"] == "accepted"
    deployment.wait_until(lambda: deployment.lead(GUID)["city"] == "Rome", "the PUT arrives")
    lead = deployment.lead(GUID)
    assert (lead["closedAt"], lead["isCustomer"], lead["points"]) == (1_700_000_000_000, True, 7)

    metrics = requests.get(f"{deployment.url}/metrics", timeout=10).text
    assert 'leadwire_accepted_total{source="shop"} 1.0' in metrics
    assert 'leadwire_attempts_total{status="200"} 1.0' in metrics, (
        "the worker's counters show in the web's page"
    )

    children = [
        int(str(line["pid"])) for line in log_lines(deployment) if line.get("action") == "process.started"
    ]
    assert len(children) == 2
    assert deployment.terminate("serve") == 0
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    actions = [line.get("action") for line in log_lines(deployment)]
    assert "worker.stopped" in actions
    assert not list((deployment.folder / "store").glob("metrics-*"))
    log = (deployment.folder / "serve.log").read_text()
    assert TOKEN not in log
    assert "Traceback" not in log


def test_log_level_and_web_concurrency_are_how_much_is_said_and_by_how_many(tmp_path: Path) -> None:
    deployment = Deployment(
        f"sqlite:///{tmp_path}/leadwire.db", tmp_path, workers=0, WEB_CONCURRENCY="3", LOG_LEVEL="WARNING"
    )
    del deployment.environment["PROMETHEUS_MULTIPROC_DIR"]
    deployment.commands = {"serve": ["integration", "serve"]}
    with deployment:
        deployment.seed_lead(GUID)
        assert deployment.post(EVENT).json()["status"] == "accepted"
        deployment.wait_until(lambda: deployment.lead(GUID)["city"] == "Rome", "the PUT arrives")
        refused = requests.post(f"{deployment.url}/hooks/shop", data=b"{}", timeout=10)
        assert refused.status_code == 401
        programs = psutil.Process(deployment.processes["serve"].pid).children()
        web = next(program for program in programs if "gunicorn" in " ".join(program.cmdline()))
        deployment.wait_until(lambda: len(web.children()) == 3, "three web processes")
        deployment.terminate("serve")
    said = log_lines(deployment)
    assert "request.rejected" in [line.get("action") for line in said]
    assert {line["level"] for line in said} <= {"WARNING", "ERROR"}


def test_a_worker_that_is_killed_starts_again(deployment: Deployment) -> None:
    deployment.seed_lead(GUID)
    worker = next(line for line in log_lines(deployment) if line.get("process") == "worker")
    os.kill(int(str(worker["pid"])), signal.SIGKILL)
    assert deployment.post(EVENT).json()["status"] == "accepted"
    deployment.wait_until(lambda: deployment.lead(GUID)["city"] == "Rome", "the new worker delivers")
    assert "The worker process ended; it starts again in 1 s" in [
        line["message"] for line in log_lines(deployment)
    ]


def test_a_port_that_is_taken_is_said_at_once(deployment: Deployment) -> None:
    command = [*LEADWIRE, "serve", "--port", str(deployment.port)]
    done = subprocess.run(
        command, env=deployment.environment, cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"leadwire: cannot listen on port {deployment.port}: ")


def test_a_worker_waits_for_the_schema(deployment: Deployment) -> None:
    environment = {**deployment.environment, "DATABASE_URL": f"sqlite:///{deployment.folder}/empty.db"}
    log = deployment.folder / "waiting.log"
    with log.open("wb") as output:
        worker = subprocess.Popen([*LEADWIRE, "worker"], env=environment, cwd=ROOT, stderr=output)
    deployment.wait_until(
        lambda: "is not up to date: run `leadwire db upgrade`" in log.read_text(), "it says what it waits for"
    )
    upgraded = subprocess.run(
        [*LEADWIRE, "db", "upgrade"], env=environment, cwd=ROOT, capture_output=True, timeout=30, check=True
    )
    assert upgraded.stdout.decode().endswith("empty.db is up to date.\n")
    deployment.wait_until(lambda: "worker.started" in log.read_text(), "it goes on by itself")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_the_sandbox_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    log = tmp_path / "sandbox.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*LEADWIRE, "sandbox", "--port", "0", "--rate-limit", "1/100"], cwd=ROOT, stdout=output
        )
    try:
        deadline = time.monotonic() + 30
        while "HUBSPOT_BASE_URL=" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        url = log.read_text().strip().rpartition("=")[2]
        requests.put(f"{url}/_sandbox/leads/{GUID}", json={}, timeout=10).raise_for_status()
        answers = [requests.get(f"{url}/leads/v1/lead/{GUID}?access_token=t", timeout=10) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
