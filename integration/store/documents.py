"""A record's fields and refusals as JSON text, and back: the only place that knows how they are written."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

from integration.core.values import Cause, WriteRule
from integration.lead.merge import UNKNOWN, Contender, FieldState, FieldStates, Unknown
from integration.lead.record import Refusal

_CODES: dict[WriteRule, str] = {
    "latest": "l",
    "earliest": "e",
    "max": "x",
    "min": "n",
    "sum": "s",
    "if_empty": "i",
}
_RULES = {code: rule for rule, code in _CODES.items()}


class StoredFields(Mapping[str, FieldState]):
    """The fields of a stored record. The text is read when somebody looks, and written back as it is."""

    __slots__ = ("_fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._fields: FieldStates | None = None

    @property
    def _read(self) -> FieldStates:
        if self._fields is None:
            self._fields = read_fields(self.text)
        return self._fields

    def __getitem__(self, name: str) -> FieldState:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def items(self) -> ItemsView[str, FieldState]:
        """The fields by name: those of the dictionary, which are much faster to go through."""
        return self._read.items()


def fields_text(fields: FieldStates) -> str:
    """The fields as compact JSON text; equal fields give equal texts. `read_fields` reads it."""
    if isinstance(fields, StoredFields):
        return fields.text
    content = {name: _field_to_json(field_state) for name, field_state in fields.items()}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def read_fields(text: str) -> FieldStates:
    """The fields that `fields_text` wrote."""
    return {name: _field_from_json(content) for name, content in json.loads(text).items()}


def refusals_text(refused: Mapping[str, Refusal]) -> str:
    """What HubSpot refused, by field, as JSON text."""
    if not refused:
        return "{}"
    content = {
        name: {"value": refusal.value, "code": refusal.cause.code, "detail": refusal.cause.detail,
               "cure": refusal.cause.cure}
        for name, refusal in refused.items()
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False)


def read_refusals(text: str) -> dict[str, Refusal]:
    """The refusals that `refusals_text` wrote."""
    if text == "{}":  # as nearly always
        return {}
    return {
        name: Refusal(said["value"], Cause(said["code"], said["detail"], said["cure"]))
        for name, said in json.loads(text).items()
    }


def _field_to_json(field_state: FieldState) -> dict[str, Any]:
    content: dict[str, Any] = {
        _CODES[rule]: _contender_to_json(contender) for rule, contender in field_state.contenders.items()
    }
    if not isinstance(field_state.base, Unknown):
        content["base"] = field_state.base
    if not isinstance(field_state.sent, Unknown):
        content["sent"] = field_state.sent
    return content


def _field_from_json(content: dict[str, Any]) -> FieldState:
    contenders = {_RULES[key]: _contender_from_json(part) for key, part in content.items() if key in _RULES}
    return FieldState(contenders, content.get("base", UNKNOWN), content.get("sent", UNKNOWN))


def _contender_to_json(contender: Contender) -> list[Any]:
    content = [
        contender.value,
        *contender.clock,
        contender.event_id,
        contender.place,
        contender.mapping_version,
    ]
    return content if contender.newest == contender.clock else [*content, *contender.newest]


def _contender_from_json(content: list[Any]) -> Contender:
    value, micros, key, event_id, place, mapping_version, *newest = content
    clock = (micros, key)
    newest_clock = (newest[0], newest[1]) if newest else clock
    return Contender(value, clock, newest_clock, event_id, place, mapping_version)
