"""The schema that editors read states the options of every signature scheme, exactly as the schemes do."""

from __future__ import annotations

import json

from integration.mapping.language import FILE, SCHEMA
from integration.verify import SCHEMES
from tests.docs_tables import schema_text


def test_the_file_that_editors_read_says_what_counts() -> None:
    text = FILE.read_text(encoding="utf-8")

    assert text == schema_text(text), "run `make docs`"
    assert json.loads(text) == SCHEMA


def test_a_scheme_is_stated_by_its_own_declaration_alone() -> None:
    stated = {entry["then"]["title"]: entry["then"] for entry in SCHEMA["$defs"]["verify"]["allOf"]}

    assert [*stated] == [*SCHEMES] == SCHEMA["$defs"]["verify"]["properties"]["scheme"]["enum"]
    for name, kind in SCHEMES.items():
        options = {key: value for key, value in stated[name]["properties"].items() if value is not True}
        assert options == kind.options["properties"], name
