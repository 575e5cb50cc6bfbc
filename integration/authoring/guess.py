"""What a payload's names and values suggest for a mapping of it: guesses, each with its reason. Pure.

A guess is a starting point for a person. It rests on names that many senders use and on how values look;
where two readings are possible, the reason says what to check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from integration.authoring.field_names import NEVER_GUESSED, NEW_NAMES, OF_A_PERSON
from integration.authoring.leaves import Leaf, leaves, squeezed, words
from integration.authoring.looks import amount_spec, field_spec, is_currency, time_spec
from integration.core.errors import shorten

Spec = str | Mapping[str, Any]

_EVENT_PARENTS = {"event", "meta", "header", "headers", "notification", "webhook", "envelope"}
_LISTS = (
    "events", "notifications", "notificationitems", "eventnotifications", "changes", "records", "messages",
)  # fmt: skip
_IDS = ("eventid", "eventuuid", "webhookid", "notificationid", "messageid", "deliveryid", "id", "uuid")
_TYPES = (
    "eventtype", "eventname", "topic", "triggerevent", "webhookevent", "type", "event", "action",
    "notificationtype", "eventcode", "kind", "subscriptiontype",
)  # fmt: skip
_TIMES = (
    "occurredat", "eventtime", "eventtimestamp", "eventdate", "eventdateutc", "happenedat", "occurred",
    "timestamp", "createdat", "created", "createtime", "time", "date", "datetime", "at", "ts", "triggeredat",
    "publishedat", "sentat", "updatedat", "modifiedat",
    "datecreated", "datecreatedgmt", "submittedat", "completedat", "dateupdated",
)  # fmt: skip
_PEOPLE = {
    "customer", "contact", "buyer", "lead", "person", "user", "subscriber", "payer", "client", "member",
    "invitee", "respondent", "billing", "billingdetails", "billingaddress", "shipping", "shippingaddress",
}  # fmt: skip
_NOT_THE_LEAD = {
    "merchant", "seller", "store", "shop", "vendor", "owner", "agent", "assignee", "admin", "sender", "from",
    "organizer", "host", "staff", "employee", "support", "author", "creator", "createdby", "updatedby",
    "receiver", "supplier", "business",
}  # fmt: skip
_OWN_IDS = {
    f"{noun}id": noun
    for noun in (
        "customer", "contact", "person", "subscriber", "client", "member", "buyer", "payer", "lead",
    )
}  # fmt: skip
_EMAIL = re.compile(r"\s*[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,}\s*")
_GUID = re.compile(r"[0-9a-fA-F-]{32,36}")
_HUBSPOT_CONTACT = {"hubspotcontactid", "hscontactid", "contactvid", "hubspotid", "hubspotvid", "vid"}
_LONGEST_TYPE = 100
_LONGEST_ID = 200

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Guess:
    """A value spec as a mapping writes it (a path, or keys with values), why, and what to check."""

    spec: Spec
    why: str
    check: str


@dataclass(frozen=True, slots=True)
class Guesses:
    """What could be guessed; None and () where nothing could.

    `event_type` is the type that the payload's first event has. `lead` holds `guid`, `contact_id` and
    `email`, `keys` the source's own id of the lead under a name for it, `fields` the fields of the lead.
    """

    each: Guess | None
    id: Guess | None
    type: Guess | None
    event_type: str | None
    time: Guess | None
    lead: Mapping[str, Guess]
    keys: Mapping[str, Guess]
    fields: Mapping[str, Guess]


def guess(payload: Any, field_types: Mapping[str, str]) -> Guesses:
    """Guess a mapping of this payload. `field_types` are the fields of a lead that may be set."""
    key, each = _each(payload)
    found = _event_leaves(payload, key, is_split=each is not None)
    kind = _best(found, _type_score)
    root = _root_name(payload) if kind is None and each is None else None
    times = {id(leaf): spec for leaf in found if (spec := time_spec(leaf.value))}
    time = _best((leaf for leaf in found if id(leaf) in times), _time_score)
    event_id = _best(found, _id_score) if kind else None
    return Guesses(
        each=each,
        id=None if event_id is None else _id_guess(event_id),
        type=_root_guess(root) if root else _type_guess(kind),
        event_type=root or (str(kind.value) if kind else None),
        time=None if time is None else _time_guess(time, *times[id(time)]),
        lead=_lead(found),
        keys=_keys(found),
        fields=_fields([leaf for leaf in found if leaf not in (kind, event_id)], field_types),
    )


# events


def _each(payload: Any) -> tuple[str | None, Guess | None]:
    """The key of the list of events and the guess for `event.each`; the key is None for a bare array."""
    check = "Check that each element is one event; a request with one element has a list too."
    if isinstance(payload, list):
        return None, Guess("@", "the payload is an array", check) if payload else None
    if not isinstance(payload, dict) or _best(leaves(payload), _type_score) is not None:
        return None, None
    for name, child in payload.items():
        if squeezed(name) in _LISTS and isinstance(child, list) and child and isinstance(child[0], dict):
            leaf = Leaf((name,), "")
            return name, Guess(leaf.path, f"{_shown(leaf)} is a list of objects", check)
    return None, None


def _event_leaves(payload: Any, key: str | None, *, is_split: bool) -> list[Leaf]:
    """The values of the first event, then those of the body around it."""
    if not is_split:
        return list(leaves(payload))
    first = payload[0] if key is None else payload[key][0]
    around = leaves(payload, "$.", without=key) if key is not None else ()
    return [*leaves(first), *around]


def _is_about_the_event(leaf: Leaf) -> bool:
    parents = leaf.parents[leaf.wrappers :]
    return not parents or (len(parents) == 1 and parents[0] in _EVENT_PARENTS)


def _type_score(leaf: Leaf) -> tuple[Any, ...] | None:
    value = leaf.value
    if leaf.name not in _TYPES or not isinstance(value, str) or not _is_about_the_event(leaf):
        return None
    if not 0 < len(value.strip()) <= _LONGEST_TYPE or not value.isprintable():
        return None
    return leaf.root, not re.search(r"\w[._:/]\w", value), _TYPES.index(leaf.name), leaf.depth


def _type_guess(leaf: Leaf | None) -> Guess | None:
    if leaf is None:
        return None
    check = "Check that it tells what happened; rules choose events by it."
    return Guess(leaf.path, f"{_shown(leaf)} is a short text beside the event", check)


def _root_name(payload: Any) -> str | None:
    """The only name of a payload, where it can say what happened, as in XML; `Envelope` says nothing."""
    name = next(iter(payload)) if isinstance(payload, dict) and len(payload) == 1 else ""
    says_something = len(words(name)) > 1 and len(name) <= _LONGEST_TYPE and name.isprintable()
    return name if says_something and isinstance(payload[name], dict) else None


def _root_guess(name: str) -> Guess:
    check = "Check that it tells what happened; rules choose events by it."
    return Guess("keys(@)[0]", f"{shorten(name)} is the only name at the top", check)


def _id_score(leaf: Leaf) -> tuple[Any, ...] | None:
    if leaf.name not in _IDS or leaf.root or not _can_be_id(leaf.value) or not _is_about_the_event(leaf):
        return None
    return _IDS.index(leaf.name), leaf.depth


def _can_be_id(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**63
    return isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST_ID and value.isprintable()


def _id_guess(leaf: Leaf) -> Guess:
    check = "Check that it is the event's own id, not the object's, and the same when it is sent again."
    return Guess(leaf.path, f"{_shown(leaf)} stands beside the event's type", check)


def _time_score(leaf: Leaf) -> tuple[Any, ...] | None:
    if leaf.name not in _TIMES:
        return None
    return not _is_about_the_event(leaf), leaf.root, _TIMES.index(leaf.name), leaf.depth


def _time_guess(leaf: Leaf, spec: Mapping[str, Any], look: str) -> Guess:
    check = "Check that it is when it happened, not when it was sent, and the same when it is sent again."
    return Guess({"from": leaf.path, **spec}, f"{_shown(leaf)} looks like {look}", check)


# the lead


def _lead(found: Sequence[Leaf]) -> dict[str, Guess]:
    guesses = {}
    guid = _best(found, _guid_score)
    if guid:
        check = "Check that it is HubSpot's guid of the lead."
        guesses["guid"] = Guess(guid.path, f"{_shown(guid)} is named like it", check)
    contact = _best(found, _contact_score)
    if contact:
        check = "Check that it is HubSpot's id of the contact."
        guesses["contact_id"] = Guess(contact.path, f"{_shown(contact)} is named like it", check)
    email = _email(found)
    if email:
        guesses["email"] = email
    return guesses


def _guid_score(leaf: Leaf) -> tuple[Any, ...] | None:
    is_named = any(word in leaf.name for word in ("lead", "hubspot", "crm"))
    if not is_named or not isinstance(leaf.value, str) or not _GUID.fullmatch(leaf.value):
        return None
    return "guid" not in leaf.name, leaf.depth


def _contact_score(leaf: Leaf) -> tuple[Any, ...] | None:
    is_number = isinstance(leaf.value, int | str) and re.fullmatch(r"[0-9]{1,15}", str(leaf.value))
    return (leaf.depth,) if leaf.name in _HUBSPOT_CONTACT and is_number else None


def _email(found: Sequence[Leaf]) -> Guess | None:
    addresses = [leaf for leaf in found if isinstance(leaf.value, str) and _EMAIL.fullmatch(leaf.value)]
    best = _best(addresses, _email_score)
    if best is None:
        return None
    others = [_shown(leaf) for leaf in addresses if leaf is not best][:3]
    more = f" Other addresses: {', '.join(others)}." if others else ""
    spec = {"from": best.path, "clean": ["trim", "lower"]}
    return Guess(
        spec, f"{_shown(best)} holds an email address", f"Check that it is the lead's, not yours.{more}"
    )


def _email_score(leaf: Leaf) -> tuple[Any, ...]:
    return _is_somebody_else(leaf), not _is_a_person(leaf), "mail" not in leaf.name, leaf.depth


def _is_a_person(leaf: Leaf) -> bool:
    return any(name in _PEOPLE for name in leaf.parents)


def _is_somebody_else(leaf: Leaf) -> bool:
    return any(name in _NOT_THE_LEAD or name.startswith("merchant") for name in leaf.names)


def _keys(found: Sequence[Leaf]) -> dict[str, Guess]:
    best = _best(found, _key_score)
    if best is None:
        return {}
    check = "Check that it is the lead's id at the sender, the same in all its events."
    return {_noun(best): Guess(best.path, f"{_shown(best)} is named like it", check)}


def _key_score(leaf: Leaf) -> tuple[Any, ...] | None:
    is_id = _can_be_id(leaf.value) and "@" not in str(leaf.value) and _noun(leaf)
    return (_is_somebody_else(leaf), leaf.depth) if is_id else None


def _noun(leaf: Leaf) -> str:
    """`customer` for `customer.id`, `customer_id` and `customer`; "" for what is no id of a person."""
    parent = leaf.parents[-1] if leaf.parents else ""
    if leaf.name in ("id", "uuid"):
        return parent if f"{parent}id" in _OWN_IDS else ""
    return leaf.name if leaf.name in ("customer", "contact") else _OWN_IDS.get(leaf.name, "")


# fields


def _fields(found: Sequence[Leaf], field_types: Mapping[str, str]) -> dict[str, Guess]:
    by_name: dict[str, list[Leaf]] = {}
    for leaf in found:
        if not _is_somebody_else(leaf) and _is_plausible(leaf, found):
            for name in _names_of(leaf):
                by_name.setdefault(name, []).append(leaf)
    guesses = {}
    for field, kind in field_types.items():
        guess = None if field in NEVER_GUESSED else _field(field, kind, by_name, found)
        if guess:
            guesses[field] = guess
    return guesses


def _names_of(leaf: Leaf) -> set[str]:
    """The leaf's name, alone and behind that of what it is in: `company.name` is a company name."""
    return {leaf.name, "".join(leaf.names[-2:])}


def _field(
    field: str, kind: str, by_name: Mapping[str, Sequence[Leaf]], found: Sequence[Leaf]
) -> Guess | None:
    fitting = []
    for order, name in enumerate((squeezed(field), *NEW_NAMES.get(field, ()))):
        for leaf in by_name.get(name, ()):
            reading = _reading(leaf, kind, found)
            if reading:
                is_strange = field in OF_A_PERSON and not _is_a_person(leaf)
                fitting.append(((is_strange, leaf.depth, order), leaf, reading))
    best = _best(fitting, lambda candidate: candidate[0])
    if best is None:
        return None
    _, leaf, (spec, look) = best
    return Guess(spec, f"{_shown(leaf)} is {look}", _FIELD_CHECKS.get(kind, ""))


def _reading(leaf: Leaf, kind: str, found: Sequence[Leaf]) -> tuple[Spec, str] | None:
    """The spec that makes a value of this kind of the leaf, and how the leaf looks; None if none does."""
    return amount_spec(leaf, _currency_beside(leaf, found)) if kind == "decimal" else field_spec(leaf, kind)


_FIELD_CHECKS = {
    "time": "Check the time zone.",
    "decimal": "Check that it is not in another unit.",
}


def _is_plausible(leaf: Leaf, found: Sequence[Leaf]) -> bool:
    """Whether a `state` or `region` is one of an address, and not that of an order."""
    if leaf.name not in ("state", "status", "region"):
        return True
    beside = {other.name for other in found if other.steps[:-1] == leaf.steps[:-1]}
    return leaf.name == "status" or bool(beside & {"city", "zip", "postalcode", "zipcode", "postcode"})


def _currency_beside(leaf: Leaf, found: Sequence[Leaf]) -> Leaf | None:
    """The currency that stands nearest to an amount: beside it, or further out."""
    codes = [
        other
        for other in found
        if "currency" in other.name
        and is_currency(other.value)
        and other.root == leaf.root
        and other.steps[:-1] == leaf.steps[: other.depth - 1]
    ]
    return max(codes, key=lambda other: other.depth, default=None)


# all


def _best(found: Iterable[Found], score: Callable[[Found], tuple[Any, ...] | None]) -> Found | None:
    """The one with the lowest score, the first of equal ones; those with the score None are out."""
    scored = [(points, item) for item in found if (points := score(item)) is not None]
    return min(scored, key=lambda pair: pair[0])[1] if scored else None


def _shown(leaf: Leaf) -> str:
    return shorten(leaf.path)
