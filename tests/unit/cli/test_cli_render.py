"""Views on a narrow terminal: nothing is lost, and no id or name is broken over lines."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from integration.cli.render import print_facts, print_table
from integration.core.clock import now
from integration.core.values import MICROS_PER_SECOND
from integration.store.views.columns import Column, Fit, Kind, View

ID = "01KB2ZH6X4JQXC9T7AMDPAZR4Q-0"


@dataclass(frozen=True)
class Thing:
    id: str = ID
    at: int = 0
    name: str = "ann@example.com"
    state: str = "translated"
    note: str = ""
    version: str = "8cea005e9d8f"


VIEW: View[Thing] = View(
    "things",
    (
        Column("id", "id", lambda thing: thing.id, fit=Fit.ROW),
        Column("at", "received", lambda thing: thing.at, kind=Kind.TIME, fit=Fit.ROW),
        Column("version", "version", lambda thing: thing.version, fit=Fit.HIDE),
        Column("name", "lead", lambda thing: thing.name),
        Column("state", "state", lambda thing: thing.state, kind=Kind.STATE, fit=Fit.ROW),
        Column("note", "cause", lambda thing: thing.note),
    ),
)


def table(*things: Thing, width: int = 80) -> list[str]:
    out = Console(width=width, highlight=False, emoji=False)
    with out.capture() as captured:
        print_table(out, VIEW, things)
    return captured.get().splitlines()


def facts(thing: Thing, width: int = 80) -> list[str]:
    out = Console(width=width, highlight=False, emoji=False)
    with out.capture() as captured:
        print_facts(out, VIEW, thing)
    return captured.get().splitlines()


def three_minutes_ago() -> int:
    return now() - 185 * MICROS_PER_SECOND


def test_a_table_that_fits_has_a_line_for_each_row() -> None:
    heading, rule, line = table(Thing(at=three_minutes_ago(), note="no city"), width=120)
    assert heading.split() == ["id", "received", "version", "lead", "state", "cause"]
    assert set(rule) == {"─"}
    assert line.split("  ")[:3] == [ID, "3 minutes ago", "8cea005e9d8f"]


def test_what_does_not_fit_is_left_out_first_and_then_stands_below_its_row() -> None:
    lines = table(Thing(at=three_minutes_ago(), note="the city is not known to anybody"))
    assert lines[0].split() == ["id", "received", "lead", "state"]
    assert lines[2] == f"{ID}  3 minutes ago  ann@example.com  translated"
    assert lines[3] == "  cause: the city is not known to anybody"
    assert len(lines) == 4, "version, the least, is for --json"


def test_a_column_with_nothing_to_say_takes_no_room() -> None:
    lines = table(Thing(at=three_minutes_ago()), width=120)
    assert "cause" not in lines[0]


def test_a_long_text_below_a_row_is_broken_between_words_only() -> None:
    long = "HubSpot answered 400: " + " ".join(f"word-{number}" for number in range(30))
    lines = table(Thing(note=long))
    shown = [line.strip() for line in lines[3:]]
    assert " ".join(shown) == f"cause: {long}"
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("    ") for line in lines[4:])


def test_a_command_in_a_text_is_not_broken() -> None:
    lines = table(Thing(note="word " * 9 + "and `leadwire leads --waiting-for identity` lists them"))
    assert any("`leadwire leads --waiting-for identity`" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_name_that_takes_more_than_half_the_room_stands_in_a_line_of_its_own() -> None:
    lines = table(Thing(id="x" * 50), Thing())
    assert lines[2] == "x" * 50
    assert lines[3].startswith(" " * len(ID))
    assert lines[4].startswith(f"{ID}  ")


def test_a_word_wider_than_the_terminal_is_left_whole() -> None:
    address = "maximiliana" * 12 + "@example.com"
    assert any(address in line for line in table(Thing(name=address)))
    assert any(address in line for line in facts(Thing(name=address)))


def test_facts_stand_beside_their_names_and_wrap_beside_them() -> None:
    lines = facts(Thing(at=three_minutes_ago(), note="word " * 30))
    assert lines[0] == f"id        {ID}"
    assert lines[1].startswith("received  3 minutes ago (20")
    assert lines[-1].startswith(" " * 10 + "word")
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    "text", ["東京都千代田区丸の内 " * 8, "🎉 " * 60, "a\nb\tc", "\x1b[31mred", "[bold]x[/bold]"]
)
def test_wide_characters_line_ends_and_control_characters_break_no_table(text: str) -> None:
    lines = table(Thing(note=text), Thing())
    assert all(cell_len(line) <= 80 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[-1].startswith(f"{ID}  ")


@given(
    st.lists(
        st.builds(
            Thing,
            id=st.from_regex(r"[0-9A-Z]{1,30}", fullmatch=True),
            name=st.text(st.characters(codec="utf-8"), max_size=90),
            state=st.from_regex(r"[a-z]{1,12}", fullmatch=True),
            note=st.text("ab 京🎉", max_size=200),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(20, 140),
)
def test_at_any_width_each_word_is_there_whole_and_lines_fit_unless_a_word_does_not(
    things: list[Thing], width: int
) -> None:
    lines = table(*things, width=width)
    text = "\n".join(lines)
    for thing in things:
        for word in (thing.id, thing.state, *thing.note.split()):
            assert word in text
    words = [word for line in lines for word in line.split()]
    longest = max(cell_len(word) for word in words if set(word) != {"─"})
    assert all(cell_len(line) <= max(width, longest + 16) for line in lines)
