"""Fetch in real processes: an API that is slow holds up nothing else, and its event arrives in the end."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.acceptance.deployment import MAPPING, Deployment
from tests.standin import standing_in

KEY = "key-that-must-stay-secret"
FETCH = """\
fetch:
  base: {setting: SHOP_API_URL}
  path: /orders/{order}
  auth: {bearer: SHOP_API_KEY}
  when: {order: {exists: true}}
  seconds: 30
lead:
"""


def test_a_slow_api_holds_up_its_own_event_only(tmp_path: Path) -> None:
    go_on = threading.Event()
    with standing_in() as api:
        api.body = b'{"city": "Rome"}'
        api.before_answer = lambda: (go_on.wait(25), None)[1]
        ready = Deployment(
            f"sqlite:///{tmp_path}/leadwire.db",
            tmp_path,
            workers=1,
            SHOP_API_URL=api.url,
            SHOP_API_KEY=KEY,
            FETCH_ALLOW_PRIVATE="true",
        )
        mapping = MAPPING.replace("lead:\n", FETCH).replace(
            "city: city", "city: {from: [fetched.city, city]}"
        )
        (tmp_path / "mappings/shop/mapping.yaml").write_text(mapping)
        with ready as deployment:
            fetched, other = "1" * 32, "2" * 32
            for guid in (fetched, other):
                deployment.seed_lead(guid)
            assert deployment.post({"id": "evt_1", "type": "t", "at": 1, "guid": fetched, "order": "o 1"}).ok
            deployment.wait_until(lambda: bool(api.paths), "the API is asked")
            assert deployment.post({"id": "evt_2", "type": "t", "at": 1, "guid": other, "city": "Oslo"}).ok
            deployment.wait_until(lambda: deployment.lead(other)["city"] == "Oslo", "the other event arrives")
            assert deployment.lead(fetched)["city"] == ""
            go_on.set()
            deployment.wait_until(lambda: deployment.lead(fetched)["city"] == "Rome", "the event arrives")
        assert api.paths[0] == "/orders/o%201"
        logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))
        assert "event.fetched" in logs
        assert KEY not in logs
