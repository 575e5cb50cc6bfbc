"""`leadwire demo`: what a newcomer sees first is true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.deployment import ROOT


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "integration", "demo", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=90, check=False)


def test_each_step_is_shown_with_what_arrived_at_hubspot() -> None:
    done = run()
    output = done.stdout.decode()
    assert done.returncode == 0, output + done.stderr.decode()
    assert done.stderr == b""
    assert "1. A paid invoice closes the lead" in output
    assert 'paymentStatus = "paid"' in output
    assert "8 steps, all as they must be, in " in output
    assert max(len(line) for line in output.splitlines()) <= 110


def test_the_facts_behind_it() -> None:
    found = json.loads(run("--json").stdout)
    assert found["ok"] is True
    paid, again, failed, late, bundle, bad, unknown, forged = found["steps"]
    closed_at = fields(paid)["closedAt"]
    assert fields(paid) == {
        "closedAt": closed_at, "paymentStatus": "paid", "lastPayment": 10, "lastPaymentCurrency": "USD",
        "lastPaymentAt": closed_at,
    }  # fmt: skip
    assert [sent["word"] for sent in again["sent"]] == ["duplicate"]
    assert fields(failed) == {"paymentStatus": "failed"}
    assert fields(late) == {"lastPayment": 25, "lastPaymentAt": str(int(closed_at) + 300_000)}
    assert {"closedAt", "paymentStatus", "subscriptionStatus"} <= fields(bundle).keys()
    assert [step["arrived"] for step in (again, bad, unknown, forged)] == [[], [], [], []]
    assert "DOUBLOONS" in bad["why"]
    assert "mappings/chargebee/mapping.yaml:" in bad["why"]
    assert unknown["why"] == "no rule for event type account.updated"
    assert [sent["answer"] for sent in forged["sent"]] == [401]


def fields(step: dict[str, Any]) -> dict[str, Any]:
    (arrived,) = step["arrived"]
    return dict(arrived["fields"])


def test_what_is_missing_is_named_and_it_exits_1(tmp_path: Path) -> None:
    """Here the mapping does not know paid invoices."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    mapping = tmp_path / "mappings" / "stripe" / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("events: [invoice.paid, ", "events: ["))
    done = run("--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["ok"] is False
    assert found["steps"][0]["failures"][0] == "the event is ignored, not translated"


def test_without_one_of_the_mappings_it_says_what_it_needs(tmp_path: Path) -> None:
    """The shipped ones are there from any folder; here one of them is switched off."""
    (tmp_path / "mappings" / "stripe").mkdir(parents=True)
    (tmp_path / "mappings" / "stripe" / "mapping.yaml").write_text("version: 1\nenabled: false\n")
    done = run(cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "leadwire: the demo needs the sources chargebee and stripe, and mappings has no "
        "stripe: run it in the project's folder, or set MAPPINGS_DIR\n"
    )
