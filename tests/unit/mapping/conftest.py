from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from integration.errors import Problem
from integration.mapping import Mapping, MappingError, load_mapping

SHOWN_AS = "mappings/acme/mapping.yaml"

Load = Callable[[str], Mapping]
Problems = Callable[[str], list[Problem]]


def field_problem(name: str) -> str | None:
    if name == "isCustomer":
        return "isCustomer cannot be set: HubSpot derives it"
    return "plann is not a field of a lead; did you mean plan?" if name == "plann" else None


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a mapping from its text; its folder has examples/paid.json."""
    folder = tmp_path / "acme"
    (folder / "examples").mkdir(parents=True)
    (folder / "examples" / "paid.json").write_text("{}")

    def load_text(text: str) -> Mapping:
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
