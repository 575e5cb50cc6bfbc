"""What a view is: the columns of what people look at, defined once for tables, JSON and pages.

A column says how to read its value from a row, and how much room it may ask for. Who draws a table, prints
JSON or fills a web page takes the same columns: none of them knows what a row is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import Any, Generic, TypeVar

from integration.core.values import Micros
from integration.core.words import ago, exact_time

Row = TypeVar("Row")
Whole = TypeVar("Whole")


class Kind(Enum):
    """What a column's value is, where its text does not follow from it."""

    TEXT = "text"
    TIME = "time"  # microseconds: in words for people, ISO 8601 in JSON
    STATE = "state"  # has a colour


class Fit(Enum):
    """What becomes of a column where a table is wider than the screen."""

    ROW = "row"  # stays in its row: what a row is known by
    BELOW = "below"  # goes to a line below its row
    HIDE = "hide"  # is left out, before anything else moves; `--json` has it


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One thing about a row.

    `name` is its key in JSON, "" where only people see it; `heading` stands above it, "" where only programs
    see it. `read` gives the value as JSON has it (a time in microseconds); `text` what people read instead,
    "" where there is nothing to say.
    """

    name: str
    heading: str
    read: Callable[[Row], Any]
    text: Callable[[Row], str] | None = None
    kind: Kind = Kind.TEXT
    fit: Fit = Fit.BELOW

    def of(self, part: Callable[[Whole], Row]) -> Column[Whole]:
        """The column of a row that has this one as a part."""
        text = self.text
        return Column(
            self.name,
            self.heading,
            lambda row: self.read(part(row)),
            None if text is None else lambda row: text(part(row)),
            self.kind,
            self.fit,
        )

    def as_json(self, row: Row) -> Any:
        """The value for programs."""
        value = self.read(row)
        return exact_time(value) if self.kind is Kind.TIME else value

    def cell(self, row: Row, now: Micros) -> str:
        """The text for people; "" where there is nothing to say."""
        if self.text is not None:
            return self.text(row)
        value = self.read(row)
        if value is None:
            return ""
        return ago(value, now) if self.kind is Kind.TIME else str(value)


@dataclass(frozen=True, slots=True)
class View(Generic[Row]):
    """What people look at. `name` is its plural: the key of a listing in JSON. The first column is the id."""

    name: str
    columns: tuple[Column[Row], ...]

    @property
    def shown(self) -> tuple[Column[Row], ...]:
        """The columns that people see."""
        return tuple(column for column in self.columns if column.heading)

    def of(self, part: Callable[[Whole], Row]) -> tuple[Column[Whole], ...]:
        """Its columns for a row that has one of these as a part."""
        return tuple(column.of(part) for column in self.columns)

    def as_json(self, row: Row) -> dict[str, Any]:
        """A row for programs."""
        return {column.name: column.as_json(row) for column in self.columns if column.name}

    def next_after(self, rows: Sequence[Row], limit: int) -> str | None:
        """The id to go on from: None where a page of up to `limit` rows was the last one."""
        return str(self.columns[0].read(rows[-1])) if rows and len(rows) == limit else None


@dataclass(frozen=True, slots=True)
class Facts(Generic[Row]):
    """A section of a page: one row, a line for each column that has something to say."""

    heading: str
    view: View[Row]
    row: Row


@dataclass(frozen=True, slots=True)
class Rows(Generic[Row]):
    """A section of a page: rows as a table, or `none` where there are none."""

    heading: str
    view: View[Row]
    rows: Sequence[Row]
    none: str = "None."


@dataclass(frozen=True, slots=True)
class Block:
    """A section of a page: a text as it is, as the body of a request."""

    heading: str
    text: str


Section = Facts[Any] | Rows[Any] | Block


@dataclass(frozen=True, slots=True)
class Page:
    """One thing whole: its sections for people, and all of it for programs."""

    sections: tuple[Section, ...]
    content: Mapping[str, Any]


def facts_of(heading: str, known: Mapping[str, str]) -> Facts[Mapping[str, str]]:
    """A section of names and values that only the row itself knows, as the headers of a request."""
    return Facts(heading, View(heading, tuple(Column(name, name, itemgetter(name)) for name in known)), known)
