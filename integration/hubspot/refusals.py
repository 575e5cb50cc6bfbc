"""Refusals: what HubSpot's validation errors mean for each operation of a call.

HubSpot refuses a whole batch for one bad row, and lists every bad property with the value that it got
(`Property values were not valid: [...]`, 2026-11-23). So most refusals tell which rows and which of their
fields are meant. Where they do not (the value is not always told), the batch is split, so that no row loses
a good value for another's bad one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integration.core.errors import shorten
from integration.core.values import Cause, Create, Micros, Operation, Outcome, Wire, fields_of
from integration.http.client import Answer
from integration.hubspot.content import context_of, objects
from integration.hubspot.outcomes import classify, not_found
from integration.lead.properties import RENAMED, STAGE_PROPERTY, PropertyTable

Sent = tuple[Operation, Mapping[str, str]]

_OF_THE_FIELD = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})  # whatever the value
_LIST_STARTS = "Property values were not valid:"
# What a row's error is where its `status` is the word "error": only its category tells passing trouble.
# https://developers.hubspot.com/docs/api-reference/error-handling (2026-11-23)
_STATUS_OF = {"RATE_LIMITS": 429, "RATE_LIMIT": 429, "INTERNAL_ERROR": 500, "CONFLICT": 409}
NOT_FOUND = "OBJECT_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class _BadProperty:
    """A property that HubSpot refused, with its code, the value where told, and why in HubSpot's words."""

    name: str
    code: str
    value: str | None
    words: str


def judge_refusal(
    answer: Answer, whole: Outcome, sent: Sequence[Sent], table: PropertyTable
) -> list[Outcome]:
    """The outcome of each operation of a call that was refused as a whole.

    Those with a field that HubSpot names go again without it; the others go again in a smaller call.
    """
    bad = [item for item in _bad_properties(answer.content, answer) if _tells_which(item, sent)]
    named = [_judged(operation, properties, bad, table, answer.status) for operation, properties in sent]
    if len(sent) == 1 and named[0] is None:
        return [whole]
    return [outcome or Outcome("split", answer.status, whole.cause) for outcome in named]


def judge_row(
    error: dict[str, Any], operation: Operation, table: PropertyTable, answer: Answer, at: Micros
) -> Outcome:
    """The outcome of one operation that an otherwise successful answer reports an error for."""
    words = shorten(answer.shown(error.get("message") or error.get("category") or "no reason given"))
    category = str(error.get("category") or "")
    if category == NOT_FOUND:
        return not_found(f"HubSpot says: {words}", "lead_not_found")
    bad = list(_bad_properties(error, answer))
    if outcome := _judged(operation, table.properties(fields_of(operation)), bad, table, answer.status):
        return outcome
    status = str(error.get("status"))
    number = int(status) if status.isdecimal() else _STATUS_OF.get(category, 400)
    return classify(number, {}, words, at)


def _tells_which(item: _BadProperty, sent: Sequence[Sent]) -> bool:
    """Whether it is certain which rows a bad property is of. Without the value it is so only if it is the
    property itself that is refused, or if all rows that have it have the same value.
    """
    if item.value is not None or item.code in _OF_THE_FIELD:
        return True
    return len({properties[item.name] for _, properties in sent if item.name in properties}) == 1


def _judged(
    operation: Operation,
    properties: Mapping[str, str],
    bad: Sequence[_BadProperty],
    table: PropertyTable,
    status: int | None,
) -> Outcome | None:
    """The outcome of an operation that has something of what HubSpot names; None for others."""
    refused = _refused_fields(fields_of(operation), properties, bad, table)
    if refused:
        return Outcome("again", status, next(iter(refused.values())), refused_fields=refused)
    email = operation.identifiers.get("email") if isinstance(operation, Create) else None
    for item in bad:
        if email is not None and item.name == "email" and item.value == email:
            return Outcome("set_aside", status, _cause("email", item))
    return None


def _refused_fields(
    fields: Mapping[str, Wire | None],
    properties: Mapping[str, str],
    bad: Sequence[_BadProperty],
    table: PropertyTable,
) -> dict[str, Cause]:
    found = {}
    for item in bad:
        if item.name not in properties or not _is_meant(item, properties[item.name]):
            continue
        for name in _with_property(item.name, fields, table):
            found[name] = _cause(name, item)
    return found


def _is_meant(item: _BadProperty, value: str) -> bool:
    """Whether HubSpot means this value, or the property whatever its value."""
    return item.code in _OF_THE_FIELD or item.value is None or item.value == value


def _with_property(property_name: str, fields: Mapping[str, Wire | None], table: PropertyTable) -> list[str]:
    """The fields that are sent as this property."""
    if property_name == STAGE_PROPERTY and STAGE_PROPERTY not in fields:
        property_name = RENAMED["closedAt"]  # which is sent with it
    return [name for name in fields if table.property_of(name) == property_name]


def _cause(name: str, item: _BadProperty) -> Cause:
    detail = f"HubSpot refuses {name} ({item.name}): {shorten(item.words, 200)}"
    if item.code == "PROPERTY_DOESNT_EXIST":
        cure = f"create the property {item.name} in HubSpot or take {name} out of the mapping, then retry"
    elif item.code == "READ_ONLY_VALUE":
        cure = f"take {name} out of the mapping: HubSpot keeps it itself"
    else:
        cure = f"correct {name} in the mapping, at the source, or as a property in HubSpot; then retry"
    return Cause("field_refused", detail, cure)


def _bad_properties(content: Any, answer: Answer) -> Iterator[_BadProperty]:
    """All properties that an error in this answer names: in the list inside its message, or in
    `errors[].context`. HubSpot's words are for people: the token is not in them.
    """
    if not isinstance(content, dict):
        return
    listed = list(_listed(str(content.get("message") or ""), answer))
    yield from listed
    if listed:
        return
    for error in objects(content, "errors"):
        yield from _listed(str(error.get("message") or ""), answer)
        yield from _in_context(error, answer)


def _listed(message: str, answer: Answer) -> Iterator[_BadProperty]:
    _, found, rest = message.partition(_LIST_STARTS)
    if not found:
        return
    try:
        items, _ = json.JSONDecoder().raw_decode(rest.strip())
    except (ValueError, RecursionError):
        return
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and item.get("name"):
            value = item.get("propertyValue")
            yield _BadProperty(
                str(item["name"]), str(item.get("error")), None if value is None else str(value),
                answer.shown(item.get("message") or ""),
            )  # fmt: skip


def _in_context(error: dict[str, Any], answer: Answer) -> Iterator[_BadProperty]:
    for name in context_of(error).get("propertyName", []):
        yield _BadProperty(name, str(error.get("code")), None, answer.shown(error.get("message") or ""))
