"""Which fields a lead has, of which type, and whether an update of them is valid.

`lead.schema.json` beside this file states the fields of HubSpot's Leads API and those that are never sent;
`mappings/fields.yaml` adds the custom fields of an account (`fields_file.py`).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from integration.core.errors import shorten
from integration.core.values import NEVER_CLEAR, Cause, FieldChange

FieldType = Literal["text", "integer", "decimal", "boolean", "time", "date"]

_NEVER_SENT = "neverSent"
_FOLDER = Path(__file__).parent
_LEAD_SCHEMA = json.loads((_FOLDER / "lead.schema.json").read_text(encoding="utf-8"))
_TYPE_CURES: Mapping[FieldType, str] = {
    "text": "give it as text (`as: text`), or shorten it",
    "integer": "give it as a whole number (`as: integer`)",
    "decimal": "give it as a number (`as: decimal`)",
    "boolean": "give it as true or false (`as: boolean`)",
    "time": "convert it (`as: unix_seconds`, `unix_millis`, `iso8601` or `date`)",
    "date": "convert it (`as: date`, `iso8601`, `unix_seconds` or `unix_millis`)",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field that an update may set: its type, what people call it, and whether the account added it."""

    name: str
    type: FieldType
    label: str
    custom: bool = False


@dataclass(frozen=True, slots=True)
class ContactNames:
    """What `contacts:` of `mappings/fields.yaml` says: the property of a field by its name, and the unique
    property that holds an identifier by its kind.
    """

    properties: Mapping[str, str] = dataclass_field(default_factory=dict)
    unique: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortalProperty:
    """A property of the account's contacts, as `portal:` of `mappings/fields.yaml` has it.

    `type` is HubSpot's word; with `external_options`, the account keeps the options elsewhere and more may
    be possible.
    """

    name: str
    type: str
    options: tuple[str, ...] = ()
    read_only: bool = False
    external_options: bool = False


class Catalogue:
    """All fields of a lead: those that may be set (`fields`, by name) and those that may not.

    `broken` has, by name, where a field is declared with a mistake: it cannot be set until that is fixed.
    """

    def __init__(
        self,
        custom: Sequence[Field] = (),
        contacts: ContactNames | None = None,
        portal: Mapping[str, PortalProperty] = MappingProxyType({}),
        broken: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.broken = broken
        self.contacts = contacts or ContactNames()
        self.portal = portal
        self.fields: Mapping[str, Field] = MappingProxyType(
            {field.name: field for field in (*_LEAD_FIELDS, *custom)}
        )
        self._validator = _UpdateValidator(_with_custom_fields(custom))

    def field_problem(self, name: str) -> str | None:
        """None when the field may be set; else why not and what to do, in one sentence."""
        if name in self.fields:
            return None
        if name in NEVER_SENT_REASONS:
            return f"{name} cannot be set: {NEVER_SENT_REASONS[name]}"
        if name in self.broken:
            return f"{name} is declared with a mistake at {self.broken[name]}; fix it there"
        near = _nearest(name, self.fields)
        guess = f"did you mean {near}? If not, declare it" if near else "declare it"
        return f"{name} is not a field of a lead; {guess} in mappings/fields.yaml"

    def validate(self, changes: Sequence[FieldChange]) -> Cause | None:
        """None when the update is valid; else a Cause `invalid_field` that names every bad field.

        Its detail holds each one's name, value (shortened), place in the mapping, and what was expected.
        """
        if all(self._is_plainly_valid(change) for change in changes):
            return None
        valid = self._validator.is_valid({change.field: change.value for change in changes})
        if valid and not any(_write_problem(change) for change in changes):
            return None
        found = [problem for change in changes if (problem := self._problem(change))]
        cures = dict.fromkeys(cure for _, cure in found)
        return Cause("invalid_field", "; ".join(detail for detail, _ in found), "; ".join(cures))

    def _is_plainly_valid(self, change: FieldChange) -> bool:
        """Whether a change is of the common kind that the schema is sure to accept.

        It spares most updates the schema validator, which took a quarter of a translation's time. A test
        holds that the schema accepts whatever this accepts; what it does not, the schema judges.
        """
        field = self.fields.get(change.field)
        return field is not None and change.write in _PLAIN_WRITES and _PLAIN[field.type](change.value)

    def _problem(self, change: FieldChange) -> tuple[str, str] | None:
        """What is wrong with one change, and the cure."""
        at = f"{change.place}: rule {change.rule!r} sets {change.field} to {shorten(change.value)}"
        unknown = self.field_problem(change.field)
        if unknown:
            return f"{at}: {unknown}", "correct the field's name in the mapping, then retry"
        if write_problem := _write_problem(change):
            return f"{at}: {write_problem}", "change `write:` or the value in the mapping, then retry"
        if self._validator.is_valid({change.field: change.value}):
            return None
        kind = self.fields[change.field].type
        return f"{at}: expected {_LEAD_SCHEMA['$defs'][kind]['description']}", _TYPE_CURES[kind]


def _write_problem(change: FieldChange) -> str | None:
    if change.value is None and change.write in NEVER_CLEAR:
        return f"`write: {change.write}` cannot clear a field"
    is_number = isinstance(change.value, int | float) and not isinstance(change.value, bool)
    if change.write == "sum" and not is_number:
        return "`write: sum` adds numbers only"
    return None


def _is_finite_number(checker: object, value: object) -> bool:  # noqa: ARG001 - jsonschema passes its checker
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _PLAIN_LENGTH and value.isascii() and "\x00" not in value


def _is_plain_integer(value: object) -> bool:
    return type(value) is int and -_PLAIN_NUMBER < value < _PLAIN_NUMBER


def _is_plain_decimal(value: object) -> bool:
    return type(value) in (int, float) and -_PLAIN_NUMBER < value < _PLAIN_NUMBER  # type: ignore[operator]


def _is_plain_time(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _PLAIN_TIME_DIGITS and value.isascii() and value.isdigit()


_PLAIN_WRITES = ("latest", "earliest")
_PLAIN_LENGTH = 1000
_PLAIN_NUMBER = 2**53
_PLAIN_TIME_DIGITS = 13
_PLAIN: Mapping[FieldType, Callable[[object], bool]] = {
    "text": _is_plain_text,
    "integer": _is_plain_integer,
    "decimal": _is_plain_decimal,
    "boolean": lambda value: isinstance(value, bool),
    "time": _is_plain_time,
    "date": _is_plain_time,
}


# JSON has no NaN and no infinity, Python's floats do.
_UpdateValidator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite_number),
)


def _type_name(schema: Mapping[str, str]) -> str:
    return schema["$ref"].rpartition("/")[2]


NEVER_SENT_REASONS: Mapping[str, str] = {
    name: schema["description"]
    for name, schema in _LEAD_SCHEMA["properties"].items()
    if _type_name(schema) == _NEVER_SENT
}
_LEAD_FIELDS = tuple(
    Field(name, cast(FieldType, _type_name(schema)), name)
    for name, schema in _LEAD_SCHEMA["properties"].items()
    if name not in NEVER_SENT_REASONS
)
LEAD_FIELD_NAMES = frozenset(field.name for field in _LEAD_FIELDS)


def _with_custom_fields(custom: Sequence[Field]) -> dict[str, Any]:
    added = {field.name: {"$ref": f"#/$defs/{field.type}"} for field in custom}
    return {**_LEAD_SCHEMA, "properties": {**_LEAD_SCHEMA["properties"], **added}}


def _nearest(name: str, names: Mapping[str, object]) -> str | None:
    lowered = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lowered, cutoff=0.75)
    return lowered[near[0]] if near else None
