"""A nil element of XML does in a mapping what null of JSON does: it is not a value, nor an empty text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.body import decode
from integration.core.values import Translation
from tests.unit.mapping.mapping_document import Translate, cause_of, changes_of

LIMIT = 10_000
XML = """\
<contact xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <type>paid</type>
  <email>jane@example.com</email>
  <phone xsi:nil="true"/>
  <mobile>+49 170 5550100</mobile>
</contact>
"""
CONTACT = {"type": "paid", "email": "jane@example.com", "phone": None, "mobile": "+49 170 5550100"}
BODIES = {"application/xml": XML, "application/json": json.dumps({"contact": CONTACT})}


def update(translate: Translate, kind: str, spec: dict[str, Any]) -> Translation:
    return translate(
        decode({"content-type": kind}, BODIES[kind].encode(), LIMIT),
        event={"type": "contact.type"},
        lead={"email": "contact.email"},
        rules=[{"name": "r", "events": ["paid"], "set": {"phone": spec, "city": {"value": "Ulm"}}}],
    )


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        ({"from": "contact.phone"}, {"city": "Ulm"}),
        ({"from": "contact.phone", "missing": "clear"}, {"phone": None, "city": "Ulm"}),
        ({"from": ["contact.phone", "contact.mobile"]}, {"phone": "+49 170 5550100", "city": "Ulm"}),
        ({"value": "none", "when": {"contact.phone": {"exists": False}}}, {"phone": "none", "city": "Ulm"}),
    ],
    ids=["skipped", "cleared", "the next path", "does not exist"],
)
def test_a_nil_field_is_no_value(
    kind: str, spec: dict[str, Any], changes: dict[str, Any], translate: Translate
) -> None:
    result = update(translate, kind, spec)

    assert {change.field: change.value for change in changes_of(result)} == changes


@pytest.mark.parametrize("kind", BODIES)
def test_a_nil_field_can_make_a_dead_letter(kind: str, translate: Translate) -> None:
    dead = cause_of(update(translate, kind, {"from": "contact.phone", "missing": "dead_letter"}))

    assert dead.code == "missing_value"
    assert dead.detail.endswith("contact.phone is null")
