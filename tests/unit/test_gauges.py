"""Gauges of /metrics are what is the case now, in every process and whatever was the case before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ASK = """
import sys
from integration.config.sources import Configuration
from integration.core.values import MAIN_ACCOUNT
from integration.lead.catalogue import Catalogue
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from integration.web.gauges import gauges
store = Store(sys.argv[1])
upgrade(store)
print(gauges(store, MAIN_ACCOUNT, Configuration(Catalogue(), {}, ()), 0).decode())
"""


def test_a_process_that_counts_together_with_others_keeps_no_gauge(tmp_path: Path) -> None:
    kept = tmp_path / "metrics"
    kept.mkdir()
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(kept)}
    command = [sys.executable, "-c", ASK, f"sqlite:///{tmp_path}/x.db"]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    assert "leadwire_leads_waiting 0.0" in told
    assert told.count("# TYPE leadwire_leads_waiting gauge") == 1
    assert [file.name for file in kept.iterdir() if file.name.startswith("gauge")] == []
