"""The schema of mapping files states the options of every signature scheme, exactly as the schemes do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.files.wording import SCHEMA
from integration.verify import SCHEMES


def merged_schema() -> list[dict[str, Any]]:
    """What must stand under `$defs.verify.allOf`."""
    return [
        {
            "if": {"required": ["scheme"], "properties": {"scheme": {"const": name}}},
            "then": {
                "title": name,
                "description": kind.options["description"],
                "required": kind.options.get("required", []),
                "properties": {"scheme": True, "secrets": True, **kind.options["properties"]},
                "additionalProperties": False,
            },
        }
        for name, kind in SCHEMES.items()
    ]


def test_the_schema_holds_the_options_of_every_scheme() -> None:
    expected = merged_schema()
    if SCHEMA["$defs"]["verify"]["allOf"] != expected:
        pytest.fail(
            f"write this under $defs.verify.allOf of mapping.schema.json:\n{json.dumps(expected, indent=2)}"
        )


def test_the_schema_knows_every_scheme() -> None:
    assert SCHEMA["$defs"]["verify"]["properties"]["scheme"]["enum"] == list(SCHEMES)
