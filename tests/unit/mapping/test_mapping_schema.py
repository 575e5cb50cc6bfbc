"""The schema of mapping files serves editors too: it is valid and says what everything is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from integration.core.errors import describe
from integration.mapping.assignments import CLEANERS, CONVERSIONS
from integration.mapping.language import SCHEMA


def named(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a file may have, with its schema (references followed once)."""
    if not isinstance(schema, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, dict) and "const" not in inner:
            target = SCHEMA["$defs"][inner["$ref"].rpartition("/")[2]] if "$ref" in inner else {}
            yield f"{path}.{name}", {**target, **inner}
        yield from named(inner, f"{path}.{name}")
    yield from named(schema.get("items"), f"{path}[]")
    yield from named(schema.get("additionalProperties"), f"{path}.*")


def keys() -> list[tuple[str, dict[str, Any]]]:
    parts = [("", SCHEMA), *SCHEMA["$defs"].items()]
    return [found for name, schema in parts for found in named(schema, str(name))]


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("path", "schema"), keys(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_key_has_a_title(path: str, schema: dict[str, Any]) -> None:
    assert "title" in schema, f"{path} {describe(schema)}"


def test_it_knows_exactly_the_conversions_and_cleaners_there_are() -> None:
    assert SCHEMA["$defs"]["as"]["enum"] == [*CONVERSIONS, "date", "minor_units"]
    assert SCHEMA["$defs"]["clean"]["items"]["enum"] == list(CLEANERS)
