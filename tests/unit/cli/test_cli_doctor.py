"""`leadwire doctor`: each finding with its cure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.operate.doctor import Finding, examine
from integration.sandbox import SandboxServer, run_sandbox
from integration.store.engine import Store
from tests.unit.cli.conftest import Run, lines

TOKEN = "token-of-this-test"
DISK = "/dev/vda1 / ext4 rw 0 0\n"
CONTAINER = "overlay / overlay rw 0 0\n/dev/vdb /data ext4 rw 0 0\n"


@pytest.fixture(params=["leads-v1", "contacts"])
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN) as server:
        monkeypatch.setenv("HUBSPOT_API", request.param)
        monkeypatch.setenv("HUBSPOT_BASE_URL", server.url)
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", TOKEN)
        monkeypatch.setenv("SHOP_TOKEN", "opensesame")
        yield server


def found(subject: str, mounts: str = DISK, clock_ahead: int = 0, **environ: str) -> Finding:
    settings = Settings.read()
    findings = examine(
        settings,
        MAIN_ACCOUNT,
        {"SHOP_TOKEN": "opensesame", **environ},
        lambda: now() + clock_ahead,
        lambda: mounts,
    )
    return next(finding for finding in findings if finding.subject == subject)


@pytest.mark.usefixtures("shop_store", "sandbox")
def test_all_is_good(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert lines(result.output)[-1] == "No problems."
    subjects = [finding["subject"] for finding in json.loads(run("doctor", "--json").output)["findings"]]
    assert subjects == ["store", "disk", "mappings", "HubSpot", "clock"]


@pytest.mark.usefixtures("shop_store", "sandbox")
class TestFindings:
    def test_a_token_that_is_refused(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "another")
        finding = found("HubSpot")
        assert (finding.grade, "HubSpot answered 401" in finding.text) == ("problem", True)
        assert "another" not in run("doctor").output

    def test_a_hubspot_that_is_out_of_reach(self, sandbox: SandboxServer) -> None:
        sandbox.close()
        assert "connection refused" in found("HubSpot").text

    def test_a_clock_that_is_wrong(self) -> None:
        finding = found("clock", clock_ahead=90_000_000)
        assert finding.grade == "problem"
        assert finding.text.startswith(("it is 90 s ahead of HubSpot's", "it is 89 s", "it is 91 s"))
        assert "NTP" in finding.cure

    def test_a_disk_that_does_not_survive_a_restart(self) -> None:
        assert found("disk", CONTAINER).grade == "warning"
        on_heroku = found("disk", CONTAINER, DYNO="web.1")
        assert on_heroku.grade == "problem"
        assert "on a passing file system (overlay) on Heroku: it is gone after a restart" in on_heroku.text
        assert on_heroku.cure == "set DATABASE_URL to a PostgreSQL database"

    @pytest.mark.parametrize("platform", [{"DYNO": "web.1"}, {"FLY_APP_NAME": "shop"}])
    def test_a_platforms_own_disk_is_none_whatever_its_type(self, platform: dict[str, str]) -> None:
        finding = found("disk", DISK, 0, **platform)
        assert finding.grade == "problem"
        assert "which is made again: it is gone after a restart" in finding.text

    def test_heroku_has_no_volumes(self, shop_store: Store) -> None:
        folder = Path(str(shop_store.url.database)).parent
        finding = found("disk", f"{DISK}/dev/dm-1 {folder} ext4 rw 0 0\n", DYNO="web.1")
        assert (finding.grade, finding.cure) == ("problem", "set DATABASE_URL to a PostgreSQL database")

    def test_the_last_of_several_mounts_at_one_place_counts(self) -> None:
        assert found("disk", f"{DISK}overlay / overlay rw 0 0\n").grade == "warning"

    def test_an_api_that_is_not_there(self, sandbox: SandboxServer, run: Run) -> None:
        fault = {"status": 404, "count": 10}
        requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=5).raise_for_status()
        finding = found("HubSpot")
        assert (finding.grade, "this API is not there" in finding.text) == ("problem", True)
        assert "HUBSPOT_API_VERSION" in finding.cure
        assert "HUBSPOT_API_VERSION" in run("fields", "pull").stderr

    def test_a_volume_is_a_disk(self, shop_store: Store) -> None:
        folder = Path(str(shop_store.url.database)).parent
        mounted = f"overlay / overlay rw 0 0\n/dev/vdb {folder} ext4 rw 0 0\n"
        assert found("disk", mounted, FLY_APP_NAME="shop").grade == "good"

    def test_a_source_without_its_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SHOP_TOKEN")
        finding = found("sources", SHOP_TOKEN="")
        assert (finding.grade, finding.text) == ("problem", "no source can receive: none has its secret")

    def test_a_mapping_with_a_problem(self, shop: Path, run: Run) -> None:
        (shop / "mapping.yaml").write_text("version: 2\n")
        assert found("mappings").grade == "problem"
        assert run("doctor").exit_code == 1


def test_a_schema_that_is_behind(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{shop}/new.db")
    finding = found("store")
    assert (finding.grade, "leadwire db upgrade" in finding.cure) == ("problem", True)


def test_the_leads_api_at_hubspots_own_host_is_said_to_be_gone(
    shop_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_BASE_URL", "https://api.hubapi.com")
    finding = found("HubSpot")
    assert finding.text.endswith("it was switched off at the end of 2013")
    assert finding.cure == "set HUBSPOT_API=contacts; see docs/hubspot.md"
    assert shop_store.is_sqlite
