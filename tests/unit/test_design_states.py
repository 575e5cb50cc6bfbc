"""The table of states in docs/design.md says what the code does: each edge once, nothing left out."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

from integration.lead import advance, record

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/design.md").read_text().partition("\n## States\n")[2].partition("\n## ")[0]
DRAWING = SECTION.partition("```\n")[2].partition("```")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in SECTION.splitlines()
    if re.match(r"\| [a-z] \|", line)
]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def transitions() -> set[str]:
    """The functions of `lead/record.py` that make a record of a record."""
    return {
        name
        for name, function in inspect.getmembers(record, inspect.isfunction)
        if function.__module__ == record.__name__
        and not name.startswith("_")
        and function.__annotations__.get("return") == "Record"
    }


def test_each_edge_has_its_letter_once() -> None:
    letters = Counter(row[0].split()[-1] for row in ROWS)

    assert len(ROWS) > 20
    assert [letter for letter, times in letters.items() if times > 1] == []


def test_the_drawing_has_each_edge_that_changes_a_state() -> None:
    drawn = Counter(re.findall(r"\b[a-z]\b", DRAWING))
    in_table = {row[0].split()[-1] for row in ROWS}

    assert in_table - drawn.keys() == {"y"}, "retention changes no state"
    assert {letter for letter, times in drawn.items() if times > 1} == {"k", "n"}, (
        "they start from two states"
    )


def test_each_transition_of_a_record_is_an_edge() -> None:
    in_table = [name for row in ROWS for name in named(row[2])]

    assert set(in_table) - {"advance"} == transitions()
    assert hasattr(advance, "advance")


def test_each_edge_names_queries_that_exist() -> None:
    for row in ROWS:
        for name in named(row[3]):
            module, _, function = name.rpartition(".")
            assert hasattr(import_module(f"integration.store.{module}"), function), name


def test_each_edge_names_tests_that_exist() -> None:
    for row in ROWS:
        (file,) = named(row[5])
        assert (ROOT / file).is_file(), file
