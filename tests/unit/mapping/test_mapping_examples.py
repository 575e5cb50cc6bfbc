"""The examples of the language, which also make the reference page, give what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import integration.mapping
from integration.core.values import Asked, Translation
from integration.mapping import load_mapping
from integration.mapping.conditions import OPERATORS
from integration.mapping.language import SCHEMA
from tests.unit.mapping.mapping_document import cause_of, changes_of, reason_of

EXAMPLES: list[dict[str, Any]] = YAML(typ="safe").load(
    Path(integration.mapping.__file__).with_name("examples.yaml").read_text(encoding="utf-8")
)
OUTCOMES = {"gives", "skips", "clears", "dead", "holds"}


def translated(folder: Path, example: dict[str, Any]) -> Translation:
    rule = {"name": "r", "events": ["*"], "set": {"field": example.get("spec", True)}}
    if "when" in example:
        rule["when"] = example["when"]
    document = {
        "version": 1,
        "source": "acme",
        "verify": {"scheme": "basic", "secrets": ["ACME_LOGIN"]},
        "event": {"type": {"value": "happened"}},
        "lead": {"email": {"value": "jane@example.com"}},
        "tables": example.get("tables", {}),
        "rules": [rule],
    }
    file = folder / "mapping.yaml"
    file.write_text(json.dumps(document, default=str), encoding="utf-8")
    mapping = load_mapping(file, "mapping.yaml", lambda _: None)
    context = mapping.context(
        example["payload"], 0, example.get("headers", {}), example.get("query", ""), 1_000_000
    )
    return mapping.translate(context)


def with_text_keys(example: dict[str, Any]) -> dict[str, Any]:
    return {**example, "tables": {k: {str(a): b for a, b in t.items()} for k, t in example["tables"].items()}}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e['key']}: {e['title']}")
def test_example_gives_what_it_says(example: dict[str, Any], tmp_path: Path) -> None:
    (outcome,) = OUTCOMES & set(example)
    result = translated(tmp_path, with_text_keys(example) if "tables" in example else example)
    values = [(change.value, type(change.value)) for change in changes_of(result)]
    match outcome:
        case "gives":
            assert isinstance(result.meaning, Asked)
            assert values == [(example["gives"], type(example["gives"]))]
            assert changes_of(result)[0].write == example.get("write", "latest")
        case "skips":
            assert (type(result.meaning), values) == (Asked, [])
        case "clears":
            assert values == [(None, type(None))]
        case "dead":
            assert cause_of(result).code == example["dead"]
            assert "mapping.yaml:1: rules[0].set.field: " in cause_of(result).detail
        case "holds":
            assert (reason_of(result) is None) == example["holds"], reason_of(result)


def test_every_key_of_a_value_has_an_example() -> None:
    keys = set(SCHEMA["$defs"]["fieldValue"]["properties"]) - {"as", "when"}
    conversions = {f"as {name}" for name in SCHEMA["$defs"]["as"]["enum"]} - {"as minor_units"}
    assert keys | conversions | {"when of a value", "path", "constant"} <= {e["key"] for e in EXAMPLES}


def test_every_operator_has_an_example() -> None:
    known = set(SCHEMA["$defs"]["operators"]["properties"])
    assert known == {*OPERATORS, "matches"}
    assert known | {"all", "any"} <= {e["key"] for e in EXAMPLES}
