"""The contacts of the stand-in: their properties, what an update does to one, and how they are found.

By https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide and error-handling (2026-11-23):
all values are texts, "" clears one, and one bad property refuses everything that it came with. Where the
pages are silent: a lifecycle stage that would move backwards keeps its place and the rest is taken, unless
it was cleared before; a contact is found by its other emails (`hs_additional_emails`) too.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.core.clock import Clock
from integration.core.values import MICROS_PER_SECOND

STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer",
    "evangelist", "other",
)  # fmt: skip
_TEXTS = """
    address city company country email fax firstname lastname hs_additional_emails industry jobtitle message
    phone salutation state twitterhandle website zip
"""
_READ_ONLY = {"hs_object_id": "number", "createdate": "datetime", "lastmodifieddate": "datetime"}
_DAY_MILLIS = 24 * 3600 * 1000
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[A-Za-z]{2,}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Property:
    """One property of contacts, as the account defines it."""

    name: str
    type: str = "string"
    options: tuple[str, ...] = ()
    read_only: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact; times are ISO 8601."""

    id: str
    properties: Mapping[str, str]
    created_at: str
    updated_at: str
    archived: bool = False

    def as_json(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The contact as the API sends it, with these properties; all if None."""
        known = self.properties
        shown = known if names is None else {name: known[name] for name in names if name in known}
        return {
            "id": self.id,
            "properties": {"hs_object_id": self.id, **shown},
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived,
        }


@dataclass(frozen=True, slots=True)
class BadProperty:
    """A property that is refused, and why, in the API's words."""

    name: str
    value: str
    code: str
    message: str


class InvalidPropertiesError(Exception):
    """Some properties are refused: nothing of what they came with is written."""

    def __init__(self, bad: Sequence[BadProperty]) -> None:
        super().__init__("Property values were not valid")
        self.bad = tuple(bad)


class ConflictError(Exception):
    """Another contact has this email already."""

    def __init__(self, existing_id: str) -> None:
        super().__init__(f"Contact already exists. Existing ID: {existing_id}")


@dataclass(slots=True)
class _Memory:
    contacts: dict[str, Contact] = field(default_factory=dict)
    by_email: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Property] = field(default_factory=dict)
    next_id: int = 51


class ContactBook:
    """The contacts and the properties of one account. Every method is safe to call from several threads."""

    def __init__(self, clock: Clock, custom: Sequence[Property] = ()) -> None:
        self._clock = clock
        self._custom = custom
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, and bring the properties back."""
        self._memory = _Memory(
            properties={item.name: item for item in (*_default_properties(), *self._custom)}
        )

    def properties(self) -> list[Property]:
        """All properties."""
        with self._lock:
            return list(self._memory.properties.values())

    def define(self, item: Property) -> None:
        """Add a property, or change it."""
        with self._lock:
            self._memory.properties[item.name] = item

    def remove_property(self, name: str) -> None:
        """Delete a property from the account."""
        with self._lock:
            self._memory.properties.pop(name, None)

    def contacts(self) -> list[Contact]:
        """All contacts that are not archived, the oldest first."""
        with self._lock:
            return [contact for contact in self._memory.contacts.values() if not contact.archived]

    def find(self, key: str, id_property: str = "hs_object_id") -> Contact | None:
        """The contact with this id, or with this value of a unique property."""
        with self._lock:
            if id_property == "hs_object_id":
                found = self._memory.contacts.get(key)
            elif id_property == "email":
                found = self._memory.contacts.get(self._memory.by_email.get(key.casefold(), ""))
            else:
                found = next((c for c in self.contacts() if c.properties.get(id_property) == key), None)
            return found if found is not None and not found.archived else None

    def is_unique(self, name: str) -> bool:
        """Whether contacts can be looked up by this property."""
        known = self._memory.properties.get(name)
        return name in ("email", "hs_object_id") or (known is not None and known.unique)

    def put(self, id: str, properties: Mapping[str, str]) -> Contact:
        """Put a contact in place, whatever was there. Raises InvalidPropertiesError or ConflictError."""
        with self._lock:
            self._memory.contacts.pop(id, None)
            self._memory.next_id = max(self._memory.next_id, int(id) + 1 if id.isdigit() else 0)
            self._check_properties([properties])
            return self._write(Contact(id, {}, self._now(), self._now()), properties)

    def create(self, properties: Mapping[str, str]) -> Contact:
        """A new contact. Raises InvalidPropertiesError or ConflictError."""
        with self._lock:
            self._check_properties([properties])
            id = str(self._memory.next_id)
            contact = self._write(
                Contact(id, {"lifecyclestage": "lead"}, self._now(), self._now()), properties
            )
            self._memory.next_id += 1
            return contact

    def check(self, many: Sequence[Mapping[str, str]]) -> None:
        """Raises InvalidPropertiesError with every bad property of them all."""
        with self._lock:
            self._check_properties(many)

    def update(self, contact: Contact, properties: Mapping[str, str]) -> Contact:
        """Change a contact, whose properties were checked. Raises ConflictError."""
        with self._lock:
            return self._write(self._memory.contacts[contact.id], properties)

    def archive(self, id: str) -> bool:
        """Delete a contact, as HubSpot does: it can no longer be found."""
        with self._lock:
            contact = self._memory.contacts.get(id)
            if contact is None or contact.archived:
                return False
            self._memory.contacts[id] = replace(contact, archived=True)
            for email in _emails(contact.properties):
                self._memory.by_email.pop(email, None)
            return True

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock() / MICROS_PER_SECOND, UTC).isoformat(
            timespec="milliseconds"
        )

    def _check_properties(self, many: Sequence[Mapping[str, str]]) -> None:
        bad = [found for item in many for pair in item.items() if (found := self._bad(*pair))]
        if bad:
            raise InvalidPropertiesError(bad)

    def _bad(self, name: str, value: str) -> BadProperty | None:
        known = self._memory.properties.get(name)
        if known is None:
            return BadProperty(name, value, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if known.read_only:
            message = f'"{name}" is a read only property; its value cannot be set.'
            return BadProperty(name, value, "READ_ONLY_VALUE", message)
        found = _bad_value(known, value) if value != "" else None
        return BadProperty(name, value, *found) if found else None

    def _write(self, contact: Contact, properties: Mapping[str, str]) -> Contact:
        changed = {
            **contact.properties,
            **{name: self._kept(contact, name, value) for name, value in properties.items()},
        }
        for email in _emails(changed):
            owner = self._memory.by_email.get(email)
            if owner is not None and owner != contact.id:
                raise ConflictError(owner)
        for email in _emails(contact.properties):
            self._memory.by_email.pop(email, None)
        self._memory.by_email.update(dict.fromkeys(_emails(changed), contact.id))
        cleaned = {name: value for name, value in changed.items() if value != ""}
        self._memory.contacts[contact.id] = replace(contact, properties=cleaned, updated_at=self._now())
        return self._memory.contacts[contact.id]

    def _kept(self, contact: Contact, name: str, value: str) -> str:
        """The value as it is kept: times as ISO 8601, and a stage where it is if it would move backwards."""
        before = contact.properties.get(name, "")
        if name == "lifecyclestage" and value in STAGES and before in STAGES:
            return max(before, value, key=STAGES.index)
        kind = self._memory.properties[name].type
        if value.lstrip("-").isdigit() and kind in ("datetime", "date"):
            moment = _EPOCH + timedelta(milliseconds=int(value))
            return moment.strftime("%Y-%m-%d") if kind == "date" else _iso(moment)
        return value


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _emails(properties: Mapping[str, str]) -> list[str]:
    texts = [properties.get("email", ""), *properties.get("hs_additional_emails", "").split(";")]
    return [text.casefold() for text in texts if text]


def _bad_value(known: Property, value: str) -> tuple[str, str] | None:
    """The code and the message for a value that does not fit its property."""
    if known.name == "email" and not _EMAIL.fullmatch(value):
        return "INVALID_EMAIL", f"Email address {value} is invalid"
    if known.options and not set(value.split(";")) <= set(known.options):
        return "INVALID_OPTION", f"{value} was not one of the allowed options: {list(known.options)}"
    if known.type == "number" and not re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value):
        return "INVALID_LONG", f"{value} was not a valid number."
    if known.type == "bool" and value not in ("true", "false"):
        return "INVALID_OPTION", f"{value} was not one of the allowed options: [true, false]"
    return _bad_date(known, value) if known.type in ("date", "datetime") else None


def _bad_date(known: Property, value: str) -> tuple[str, str] | None:
    if known.type == "date" and value.isdigit() and int(value) % _DAY_MILLIS:
        at = _EPOCH + timedelta(milliseconds=int(value))
        return "INVALID_DATE", f"{value} is at {at:%H:%M:%S} UTC, not midnight!"
    return None if _is_time(value) else ("INVALID_DATE", f"{value} was not a valid date.")


def _is_time(value: str) -> bool:
    if value.lstrip("-").isdigit():
        return True
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _default_properties() -> list[Property]:
    return [
        *(Property(name) for name in _TEXTS.split()),
        Property("closedate", "datetime"),
        Property("lifecyclestage", "enumeration", STAGES),
        *(Property(name, kind, read_only=True) for name, kind in _READ_ONLY.items()),
    ]
