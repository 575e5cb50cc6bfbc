"""Conditions on many values at once: one parameter for all of them, however many there are.

`IN` with a parameter for each value has its text built again for every number of values, which costs more
than the look-up itself, and both databases refuse it beyond some thousands. PostgreSQL takes arrays, and
knows how long they are when it plans; SQLite takes JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NULLTYPE, TypeEngine

_TEXTS: TypeEngine[Any] = ARRAY(Text)


class _OneOf(FunctionElement[Any]):
    """A column, and the values to find in it: as an array, as JSON. Each database uses one of the two."""

    type = NULLTYPE  # a Boolean would be compared with 1 on SQLite, and no index be used
    inherit_cache = True


class _PairOf(FunctionElement[Any]):
    """Two columns, and the values to find in each as arrays, and the pairs as JSON."""

    type = NULLTYPE
    inherit_cache = True


def one_of(column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Whether the column has one of these texts."""
    return _OneOf(column, _array(list(values)), _json(list(values)))


def pair_of(
    first: ColumnElement[str], second: ColumnElement[str], pairs: Collection[tuple[str, str]]
) -> ColumnElement[bool]:
    """Whether the two columns together have one of these pairs of texts."""
    firsts, seconds = _array([one for one, _ in pairs]), _array([two for _, two in pairs])
    return _PairOf(first, second, firsts, seconds, _json(list(pairs)))


def _array(values: list[str]) -> ColumnElement[Any]:
    return bindparam(None, values, type_=_TEXTS, unique=True)


def _json(values: list[Any]) -> ColumnElement[str]:
    return bindparam(None, json.dumps(values), type_=Text(), unique=True)


@compiles(_OneOf, "postgresql")
def _one_on_postgresql(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, array, _ = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(array, **options)})"


@compiles(_OneOf, "sqlite")
def _one_on_sqlite(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in list(element.clauses)[::2])
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - a name and a placeholder


@compiles(_PairOf, "postgresql")
def _pair_on_postgresql(element: _PairOf, compiler: SQLCompiler, **options: Any) -> str:
    first, second, ones, twos = (compiler.process(part, **options) for part in list(element.clauses)[:4])
    return f"({first}, {second}) IN (SELECT * FROM unnest({ones}, {twos}))"  # noqa: S608 - as above


@compiles(_PairOf, "sqlite")
def _pair_on_sqlite(element: _PairOf, compiler: SQLCompiler, **options: Any) -> str:
    first, second, *_, pairs = element.clauses
    columns = f"({compiler.process(first, **options)}, {compiler.process(second, **options)})"
    each = f"json_each({compiler.process(pairs, **options)})"
    return f"{columns} IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM {each})"  # noqa: S608 - as above
