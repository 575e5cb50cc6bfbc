"""One set of mapping files, one stream of events, both of HubSpot's APIs: the same final leads."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.acceptance.chaos import LEADS, expected_leads, make_events, people
from tests.acceptance.deployment import Deployment
from tests.acceptance.portals import PORTALS, Person


def final_leads(api: str, folder: Path, events: list[dict[str, object]]) -> dict[int, dict[str, Any]]:
    """The people at HubSpot after these events came in over this API."""
    folder.mkdir()
    expected = expected_leads(events)
    with Deployment(f"sqlite:///{folder}/leadwire.db", folder, workers=1, api=api) as deployment:
        url, portal = deployment.sandbox.url, PORTALS[api]
        for person in people(0):
            portal.seed(url, person)
        for event in events:
            assert deployment.post(event).ok

        def found() -> dict[int, dict[str, Any]]:
            return {number: portal.read(url, Person(number)) for number in expected}

        deployment.wait_until(lambda: found() == expected, f"every lead is right by {api}")
        return found()


def test_both_apis_end_with_the_same_leads(tmp_path: Path) -> None:
    events = make_events(0, 60, random.Random(4))
    random.Random(5).shuffle(events)

    by_api = {api: final_leads(api, tmp_path / api, events) for api in PORTALS}

    assert by_api["leads-v1"] == by_api["contacts"]
    assert len(by_api["contacts"]) == LEADS
