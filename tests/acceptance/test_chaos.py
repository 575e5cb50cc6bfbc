"""A short run of chaos; `make chaos` runs more rounds. See chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.chaos import CHAOS


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("database", "api"), [("postgresql", "leads-v1"), ("sqlite", "contacts")])
def test_every_lead_ends_right_whatever_happens(database: str, api: str, tmp_path: Path) -> None:
    with CHAOS[database](tmp_path, 7, api) as chaos:
        for number in range(4):
            chaos.run_round(number)
        chaos.check_settled()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", sorted(CHAOS))
def test_no_event_is_lost_when_each_process_dies_in_turn(database: str, tmp_path: Path) -> None:
    with CHAOS[database](tmp_path, 11) as chaos:
        for number, kill in enumerate(chaos.kills.values()):
            kill()
            chaos.run_round(number, events=30)
        chaos.check_settled()
