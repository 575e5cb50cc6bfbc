from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from integration.core.errors import Problem
from integration.core.values import Translation
from integration.mapping import MappingError, SourceMapping, load_mapping
from tests.unit.mapping.mapping_document import ARRIVED, Load, Problems, Translate, document

SHOWN_AS = "mappings/acme/mapping.yaml"


def field_problem(name: str) -> str | None:
    if name == "isCustomer":
        return "isCustomer cannot be set: HubSpot derives it from closedAt; set closedAt instead"
    return None


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a mapping from its text; its folder has examples/paid.json."""
    folder = tmp_path / "acme"
    (folder / "examples").mkdir(parents=True)
    (folder / "examples" / "paid.json").write_text("{}")

    def load_text(text: str) -> SourceMapping:
        file = folder / "mapping.yaml"
        file.write_text(dedent(text), encoding="utf-8")
        return load_mapping(file, SHOWN_AS, field_problem)

    return load_text


@pytest.fixture
def problems_of(load: Load) -> Problems:
    """All problems of a mapping text."""

    def problems(text: str) -> list[Problem]:
        with pytest.raises(MappingError) as caught:
            load(text)
        return list(caught.value.problems)

    return problems


@pytest.fixture
def translate(load: Load) -> Translate:
    """Translates a payload by a mapping of which the rules (and other blocks) are given as data."""

    def translate_by(payload: Any, *, trace: bool = False, **blocks: Any) -> Translation:
        mapping = load(document(**blocks))
        return mapping.translate(mapping.context(payload, 0, {}, "", ARRIVED), trace=trace)

    return translate_by
