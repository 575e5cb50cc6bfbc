"""What a HubSpot account's contacts have, and whether the fields of mappings fit them. Pure.

`leadwire fields pull` writes this into `mappings/fields.yaml` under `portal:`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integration.core.errors import shorten
from integration.core.values import Wire
from integration.lead.catalogue import FieldType, PortalProperty
from integration.lead.properties import ARCHIVE_FIELD, UNWRITABLE, PropertyTable

# Which kinds of properties take the values of a field's type.
_FITS: Mapping[FieldType, frozenset[str]] = {
    "text": frozenset({"string", "enumeration", "phone_number"}),
    "integer": frozenset({"number", "string"}),
    "decimal": frozenset({"number", "string"}),
    "boolean": frozenset({"bool", "enumeration", "string"}),
    "time": frozenset({"datetime", "string", "number"}),
    "date": frozenset({"date", "datetime", "string"}),
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a field does not fit the account, and what to do."""

    message: str
    cure: str


def misfit(
    field: str,
    constants: Sequence[Wire],
    table: PropertyTable,
    portal: Mapping[str, PortalProperty],
) -> Misfit | None:
    """Why HubSpot would refuse this field, or one of the constants that a mapping gives it; None if not."""
    if field == ARCHIVE_FIELD:
        return None
    name = table.property_of(field)
    if name is None:
        return Misfit(f"contacts have no property that takes {field}: {UNWRITABLE[field]}", "take it out")
    known = portal.get(name)
    if known is None:
        return _unknown(field, name, portal)
    if known.read_only:
        return Misfit(f"{field} is the property {name}, which is read-only", "take it out")
    kind = table.types.get(field, "text")
    if known.type not in _FITS[kind]:
        message = f"{field} is of type {kind}, and the property {name} of type {known.type}"
        return Misfit(message, "correct the type in mappings/fields.yaml, or the property in HubSpot")
    return _impossible(field, constants, known)


def shared_property(field: str, other: str, name: str) -> Misfit:
    """Two fields that are the same property: what one says, the other overwrites."""
    message = f"{field} is the property {name}, and so is {other}: one would overwrite the other"
    return Misfit(message, "name another property for one of them under `contacts:` in mappings/fields.yaml")


def _unknown(field: str, name: str, portal: Mapping[str, PortalProperty]) -> Misfit:
    near = difflib.get_close_matches(name, portal, cutoff=0.75)
    guess = f"did you mean {near[0]}? If not, " if near else ""
    cure = f"{guess}create it in HubSpot, or name another under `contacts:` in mappings/fields.yaml"
    return Misfit(f"HubSpot has no property {name} ({field})", cure)


def _impossible(field: str, constants: Sequence[Wire], known: PortalProperty) -> Misfit | None:
    """A constant that is none of the property's options; an account may keep its options elsewhere."""
    if not known.options or known.external_options:
        return None
    for constant in constants:
        if not set(str(constant).split(";")) <= set(known.options):
            listed = ", ".join(known.options[:20])
            message = f"{shorten(constant)} is not an option of the property {known.name} ({field})"
            return Misfit(message, f"use one of {listed}")
    return None
