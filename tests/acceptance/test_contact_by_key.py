"""`contacts: unique:` in fields.yaml: a lead that is known by a key only is found by that property."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.acceptance.deployment import Deployment
from tests.acceptance.portals import CUSTOM_FIELDS

UNIQUE = "contacts: {unique: {customer: shop_customer}}\n"


def test_a_lead_known_by_a_key_only_is_found_by_the_property_that_holds_it(tmp_path: Path) -> None:
    deployment = Deployment(f"sqlite:///{tmp_path}/leadwire.db", tmp_path, workers=1, api="contacts")
    (tmp_path / "mappings" / "fields.yaml").write_text(CUSTOM_FIELDS + UNIQUE)
    control = f"{deployment.sandbox.url}/_sandbox"
    of_shop = {"type": "string", "unique": True}
    requests.put(f"{control}/properties/shop_customer", json=of_shop, timeout=10).raise_for_status()
    for number in (1, 2):
        contact = {"shop_customer": f"cus_{number}"}
        requests.put(f"{control}/contacts/100{number}", json=contact, timeout=10).raise_for_status()

    def city_of(contact: str) -> str:
        found = requests.get(f"{control}/contacts/{contact}", timeout=10).json()["properties"]
        return str(found.get("city") or "")

    with deployment:
        event = {"id": "evt_1", "type": "paid", "at": 1_700_000_000_000, "customer": "cus_2", "city": "Rome"}
        assert deployment.post(event).json()["status"] == "accepted"
        deployment.wait_until(lambda: city_of("1002") == "Rome", "the contact is found by its key")
        assert city_of("1001") == ""
