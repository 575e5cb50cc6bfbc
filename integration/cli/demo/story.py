"""What the demo sends: recorded events of the mappings that ship, and what each is there to show."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from integration.cli.payloads import set_path

Outcome = Literal["update", "duplicate", "ignored", "dead", "refused"]

JANE = "8a4178ae2c1b4f3d9e5a6b7c8d9e0f01"
OMAR = "8a4178ae2c1b4f3d9e5a6b7c8d9e0f02"
LEADS: Mapping[str, Mapping[str, str]] = {
    JANE: {"firstName": "Jane", "lastName": "Doe", "email": "jane.doe@example.com"},
    OMAR: {"firstName": "Omar", "lastName": "Haddad", "email": "omar@example.com"},
}
_GUID_PATHS = {
    "stripe": "data.object.metadata.hubspot_lead_guid",
    "chargebee": "content.customer.cf_hubspot_lead_guid",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recorded event of a source, for one of our leads, with a few values of its own.

    `changes` maps dotted paths to values. With `forged` it is signed with a secret that is not ours.
    """

    source: str
    example: str
    guid: str
    changes: Mapping[str, Any]
    forged: bool = False

    def payload(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The recorded payload with the changes."""
        payload: dict[str, Any] = copy.deepcopy(dict(recorded))
        for path, value in {_GUID_PATHS[self.source]: self.guid, **self.changes}.items():
            set_path(payload, path, value)
        return payload


@dataclass(frozen=True, slots=True)
class Step:
    """What is sent (all of it at once), what it shows, and how it must end."""

    shows: str
    deliveries: tuple[Delivery, ...]
    outcome: Outcome


def story(start: int) -> tuple[Step, ...]:
    """The demo's steps; its first event happens at `start`, in seconds since 1970."""
    paid = _stripe("invoice.paid", "evt_demo_paid", start)
    late = _stripe("invoice.paid", "evt_demo_late", start + 300, {"data.object.amount_paid": 2500})
    forged = Delivery("stripe", "invoice.paid.json", JANE, {"id": "evt_demo_forged"}, forged=True)
    unknown = _stripe("invoice.paid", "evt_demo_unknown", start + 700, {"type": "account.updated"})
    payment = _chargebee("payment_succeeded", "ev_demo_payment", start + 800)
    cancelled = _chargebee("subscription_cancelled", "ev_demo_cancelled", start + 900)
    doubloons = {"content.transaction.currency_code": "DOUBLOONS"}
    bad = _chargebee("payment_succeeded", "ev_demo_bad", start + 950, doubloons)
    failed = _stripe("invoice.payment_failed", "evt_demo_failed", start + 600)
    return (
        Step("A paid invoice closes the lead", (paid,), "update"),
        Step("The same delivery again, as senders do: it counts once", (paid,), "duplicate"),
        Step("The next payment fails", (failed,), "update"),
        Step("An older payment arrives late: what is newer stays", (late,), "update"),
        Step("Two events of a lead at once become one request", (payment, cancelled), "update"),
        Step("A value that cannot be: set aside with its cause", (bad,), "dead"),
        Step("An event that no rule is for", (unknown,), "ignored"),
        Step("A forged request: the signature does not match", (forged,), "refused"),
    )


def _stripe(type: str, id: str, at: int, changes: Mapping[str, Any] | None = None) -> Delivery:
    always = {"id": id, "created": at}
    return Delivery("stripe", f"{type}.json", JANE, {**always, **(changes or {})})


def _chargebee(type: str, id: str, at: int, changes: Mapping[str, Any] | None = None) -> Delivery:
    customer = {"content.customer.id": "cust_omar", "content.customer.email": LEADS[OMAR]["email"]}
    always: dict[str, Any] = {"id": id, "occurred_at": at, **customer}
    if type == "payment_succeeded":
        always["content.transaction.date"] = at
    return Delivery("chargebee", f"{type}.json", OMAR, {**always, **(changes or {})})
