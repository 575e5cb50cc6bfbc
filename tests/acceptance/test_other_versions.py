"""Other versions beside this one: an older program while the database is upgraded, a newer database."""

from __future__ import annotations

import json
import subprocess
import tarfile
import threading
from io import BytesIO
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from integration.store.engine import Store
from integration.store.schema import versions
from tests.acceptance.deployment import ROOT, Deployment

THE_RELEASE_BEFORE = "1f7bbb5"  # its schema is 0006
GUID = "8a4178ae2c1b4f3d9e5a6b7c8d9e0f01"
LATER_MIGRATION = (
    "ALTER TABLE events ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'",
    "ALTER TABLE leads ADD COLUMN colour TEXT",
    "CREATE TABLE colours (name TEXT PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = '9999'",
)


def event(number: int) -> dict[str, object]:
    return {"id": f"evt_{number}", "type": "paid", "at": 1_700_000_000_000 + number, "guid": GUID, "paid": 1}


@pytest.fixture
def older_program(tmp_path: Path) -> Path:
    """The program of the release before, from the history of this repository."""
    archive = ["git", "-C", str(ROOT), "archive", "--format=tar", THE_RELEASE_BEFORE, "integration"]
    try:
        done = subprocess.run(archive, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no git here to get the release before with")
    if done.returncode:
        pytest.skip(f"the history here does not reach back to {THE_RELEASE_BEFORE}: {done.stderr.decode()}")
    folder = tmp_path / "older"
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class Sender:
    """Sends one event after the other until it is stopped; `accepted` has the ids that it was told."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._stop = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                answer = self._deployment.post(event(number))
            except requests.RequestException:
                self.refused.append(0)
                continue
            if answer.ok:
                self.accepted.append(answer.json()["id"])
            else:
                self.refused.append(answer.status_code)

    def wait_for(self, more: int) -> None:
        """Until so many more requests were answered, whatever the answer."""
        goal = len(self.accepted) + len(self.refused) + more
        self._deployment.wait_until(
            lambda: len(self.accepted) + len(self.refused) >= goal, f"{more} more answers"
        )

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_what_an_older_web_process_accepts_while_the_schema_is_upgraded_is_stored_and_delivered(
    database_url: str, tmp_path: Path, older_program: Path
) -> None:
    deployment = Deployment(database_url, tmp_path, workers=1, upgraded=False)
    assert deployment.run("db", "upgrade", code=older_program).returncode == 0
    deployment.code["web"] = older_program
    worker = deployment.commands.pop("worker-0")
    with deployment:
        deployment.seed_lead(GUID)
        sender = Sender(deployment)
        try:
            sender.wait_for(20)
            upgraded = deployment.run("db", "upgrade")
            sender.wait_for(20)
        finally:
            sender.stop()
        assert (upgraded.returncode, upgraded.stderr) == (0, "")
        assert len(sender.accepted) >= 20, f"refused: {sender.refused[:5]}"

        store = Store(database_url)
        with store.read() as connection:
            stored = set(connection.execute(text("SELECT id FROM requests WHERE reason IS NULL")).scalars())
        store.dispose()
        assert set(sender.accepted) <= stored

        deployment.commands["worker-0"] = worker
        deployment.start("worker-0")
        # HubSpot may have more: an answer can be lost after its request was stored.
        deployment.wait_until(
            lambda: int(str(deployment.lead(GUID).get("spent") or 0)) >= len(sender.accepted),
            "each of them counts",
        )


def test_a_program_that_is_older_than_its_database_says_so_and_serves(
    database_url: str, tmp_path: Path
) -> None:
    deployment = Deployment(database_url, tmp_path, workers=0)
    del deployment.environment["PROMETHEUS_MULTIPROC_DIR"]
    store = Store(database_url)
    with store.write() as connection:
        for statement in LATER_MIGRATION:
            connection.execute(text(statement))
    shown = store.shown_as
    store.dispose()
    newer = f"its schema is newer than this program (9999; this program knows up to {versions()[-1]})"

    upgraded = deployment.run("db", "upgrade")
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert upgraded.stdout == f"The database at {shown} stays as it is: {newer}.\n"

    deployment.commands = {"serve": ["integration", "serve"]}
    with deployment:
        deployment.seed_lead(GUID)
        assert deployment.post({**event(1), "city": "Rome"}).json()["status"] == "accepted"
        deployment.wait_until(lambda: deployment.lead(GUID)["city"] == "Rome", "the worker delivers")
        assert requests.get(f"{deployment.url}/readyz", timeout=10).status_code == 200
        assert f"store     works; {newer}" in deployment.run("status").stdout
        status = json.loads(deployment.run("status", "--json").stdout)
        assert status["schema"] == {"version": "9999", "newer_than_program": True}
        doctor = deployment.run("doctor")
        assert newer in " ".join(doctor.stdout.split())
        assert doctor.returncode == 0, doctor.stdout
        assert deployment.terminate("serve") == 0
    said = [line for line in (tmp_path / "serve.log").read_text().splitlines() if "schema.checked" in line]
    assert newer in json.loads(said[0])["message"]
