"""Which property of a HubSpot contact each lead field is, and how values are written on either side.

Mapping files name fields as the Leads API did; today's HubSpot has contacts with properties. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from integration.core.values import Cause, Wire
from integration.lead.catalogue import Catalogue, FieldType

_DAY_MILLIS = 24 * 3600 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ARCHIVE_FIELD = "isDeleted"
STAGE_PROPERTY = "lifecyclestage"
CUSTOMER = "customer"

# Leads API fields whose property is not just their name in small letters.
RENAMED: Final[Mapping[str, str]] = {"closedAt": "closedate"}

# Leads API fields that no contact property can take, and why.
# https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide and HubSpot's default contact
# properties, https://knowledge.hubspot.com/properties/hubspots-default-contact-properties (2026-11-23)
UNWRITABLE: Final[Mapping[str, str]] = {
    "customerStatusModifiedAt": "HubSpot keeps it itself",
    "eligibleForEmail": "HubSpot derives it from subscriptions",
    "emailBounced": "HubSpot keeps it itself",
    "emailOptOut": "it belongs to HubSpot's communication preferences",
    "firstCampaign": "HubSpot takes it from its own analytics",
    "firstRefDomain": "HubSpot takes it from its own analytics",
    "firstReferrer": "HubSpot takes it from its own analytics",
    "firstURL": "HubSpot takes it from its own analytics",
    "firstVisitSetAt": "HubSpot takes it from its own analytics",
    "foundVia": "HubSpot takes it from its own analytics",
    "fullFoundViaString": "HubSpot takes it from its own analytics",
    "imported": "HubSpot keeps it itself",
    "insertedAt": "HubSpot keeps it itself, as createdate",
    "ipAddress": "HubSpot takes it from its own analytics",
    "leadNurturingCampaignId": "today's HubSpot has no such campaigns",
    "rawScore": "HubSpot computes scores itself",
    "score": "HubSpot computes scores itself",
    "sourceId": "HubSpot takes it from its own analytics",
    "sourceValue1": "HubSpot takes it from its own analytics",
    "sourceValue2": "HubSpot takes it from its own analytics",
    "userToken": "HubSpot sets it by its own cookie",
}


@dataclass(frozen=True, slots=True)
class PropertyTable:
    """The translation between lead fields and contact properties, with what an account says of its own.

    `types` has the type of each field; `renamed` overrides names; `unique` has, by kind of identifier
    (`guid`, or a key as `stripe_customer`), the unique property of contacts that holds it.
    """

    types: Mapping[str, FieldType] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    unique: Mapping[str, str] = field(default_factory=dict)

    def property_of(self, name: str) -> str | None:
        """The property of a field; None if no property can take it."""
        if name in self.renamed:
            return self.renamed[name]
        if name in UNWRITABLE or name == ARCHIVE_FIELD:
            return None
        return RENAMED.get(name, name.lower())

    def refusal(self, name: str, value: Wire | None) -> Cause | None:
        """Why a field cannot be sent to today's HubSpot; None if it can."""
        if name == ARCHIVE_FIELD:
            return None if value is True else _no_undelete()
        if self.property_of(name) is not None:
            return None
        detail = f"HubSpot's contacts have no property that takes {name}: {UNWRITABLE[name]}"
        cure = (
            f"remove {name} from the mapping, or name its property under `contacts:` in mappings/fields.yaml"
        )
        return Cause("no_contact_property", detail, f"{cure}; then retry")

    def properties(self, fields: Mapping[str, Wire | None]) -> dict[str, str]:
        """The properties that these fields are, as HubSpot takes them: all values are texts, "" clears.

        A contact with a close date is a customer. HubSpot does not move a stage backwards by itself:
        https://knowledge.hubspot.com/records/use-lifecycle-stages (2026-11-23).
        """
        found = {
            target: self._text(name, value)
            for name, value in fields.items()
            if (target := self.property_of(name)) is not None
        }
        if fields.get("closedAt") and self.property_of("closedAt") == RENAMED["closedAt"]:
            found.setdefault(STAGE_PROPERTY, CUSTOMER)
        return found

    def value(self, name: str, text: object) -> Wire | None:
        """A property's value as HubSpot sends it, as a value of the lead field; None is blank."""
        if not isinstance(text, str) or not text:
            return None
        kind = self.types.get(name, "text")
        try:
            return _READ[kind](text)
        except (ValueError, OverflowError):
            return text

    def _text(self, name: str, value: Wire | None) -> str:
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if self.types.get(name) == "date":
            millis = int(value)
            # A date that is not midnight in UTC is refused with INVALID_DATE.
            return str(millis - millis % _DAY_MILLIS)
        return str(value)


@lru_cache(maxsize=4)  # asked for each request; a catalogue is made again only when fields.yaml changes
def table_of(catalogue: Catalogue) -> PropertyTable:
    """The names of contact properties by what the catalogue says."""
    types = {name: field.type for name, field in catalogue.fields.items()}
    return PropertyTable(types, catalogue.contacts.properties, catalogue.contacts.unique)


def _no_undelete() -> Cause:
    return Cause(
        "no_contact_property",
        "HubSpot's contacts API cannot bring a deleted contact back (isDeleted: false)",
        "restore the contact in HubSpot, and let the mapping set isDeleted to true only",
    )


def _millis(text: str) -> str:
    if text.isdigit():
        return text
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return str((moment - _EPOCH) // timedelta(milliseconds=1))


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


_READ: Mapping[FieldType, Callable[[str], Wire]] = {
    "text": str,
    "integer": _number,
    "decimal": _number,
    "boolean": lambda text: text == "true",
    "time": _millis,
    "date": _millis,
}
