"""People at a stand-in HubSpot through either API: put in place, and read back in the mapping's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

CUSTOM_FIELDS = """\
version: 1
fields:
  points: {type: integer}
  spent: {type: integer}
"""


@dataclass(frozen=True)
class Person:
    """One person, by all that HubSpot or a source may know them by."""

    number: int

    @property
    def guid(self) -> str:
        return f"{self.number:032x}"

    @property
    def email(self) -> str:
        return f"person-{self.number}@example.com"

    @property
    def customer(self) -> str:
        return f"cus_{self.number}"

    @property
    def contact_id(self) -> str:
        return str(1000 + self.number)


def prepare_contacts(url: str) -> None:
    """Define the custom properties."""
    for name in ("points", "spent"):
        answer = requests.put(f"{url}/_sandbox/properties/{name}", json={"type": "number"}, timeout=10)
        answer.raise_for_status()


def seed_lead(url: str, person: Person) -> None:
    """Put the person in place as a lead of the Leads API."""
    body = {"email": person.email}
    requests.put(f"{url}/_sandbox/leads/{person.guid}", json=body, timeout=10).raise_for_status()


def seed_contact(url: str, person: Person) -> None:
    """Put the person in place as a contact."""
    body = {"email": person.email}
    requests.put(f"{url}/_sandbox/contacts/{person.contact_id}", json=body, timeout=10).raise_for_status()


def read_lead(url: str, person: Person) -> dict[str, Any]:
    """What the Leads API has of the person."""
    lead = requests.get(f"{url}/_sandbox/leads/{person.guid}", timeout=10).json()
    return _comparable({**lead, "closedAt": int(lead.get("closedAt") or 0)})


def read_contact(url: str, person: Person) -> dict[str, Any]:
    """What contacts have of the person."""
    contact = requests.get(f"{url}/_sandbox/contacts/{person.contact_id}", timeout=10).json()["properties"]
    closed = contact.get("closedate")
    moment = datetime.fromisoformat(closed) if closed else datetime.fromtimestamp(0, UTC)
    return _comparable({**contact, "closedAt": round(moment.timestamp() * 1000)})


def _comparable(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "closedAt": fields["closedAt"],
        "city": fields.get("city") or "",
        "phone": fields.get("phone") or "",
        "points": int(fields.get("points") or 0),
        "spent": int(fields.get("spent") or 0),
    }


@dataclass(frozen=True)
class Portal:
    """One HubSpot API of the stand-in."""

    api: str
    prepare: Callable[[str], None]
    seed: Callable[[str, Person], None]
    read: Callable[[str, Person], dict[str, Any]]


PORTALS = {
    "leads-v1": Portal("leads-v1", lambda _: None, seed_lead, read_lead),
    "contacts": Portal("contacts", prepare_contacts, seed_contact, read_contact),
}
