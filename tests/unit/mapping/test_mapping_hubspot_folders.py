"""HubSpot's webhooks come with two signatures, for which there is a folder each: what they do is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

MAPPINGS = Path(__file__).parents[3] / "mappings"


def written(source: str) -> dict[str, Any]:
    text: dict[str, Any] = YAML(typ="safe", pure=True).load(MAPPINGS / source / "mapping.yaml")
    return text


@pytest.mark.parametrize("key", ["event", "lead", "rules", "tests"])
def test_the_folders_of_both_signatures_translate_alike(key: str) -> None:
    assert written("hubspot-v1")[key] == written("hubspot")[key]


def test_the_folders_of_both_signatures_have_the_same_examples() -> None:
    contents = [
        {file.name: file.read_bytes() for file in (MAPPINGS / source / "examples").iterdir()}
        for source in ("hubspot", "hubspot-v1")
    ]

    assert contents[0] == contents[1]
