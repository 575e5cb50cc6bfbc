"""Conditions on lists: the same answers on both databases, by the index, for any number of values."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, insert, select, text
from sqlalchemy.exc import DBAPIError

from integration.core.errors import StoreUnavailableError
from integration.store.engine import Store
from integration.store.many import one_of, pair_of
from integration.store.tables import identifiers

ODD = ["", "it's", 'a "quote"', "back\\slash", "%s", ":x", "Zoë 日本 😀", "[1, 2]", "null", "{}", "\n"]


def fill(store: Store, values: list[str]) -> None:
    with store.write() as connection:
        rows = [{"kind": "key", "value": value, "lead_id": f"lead {value}"} for value in values]
        connection.execute(insert(identifiers), rows)


def values_of(store: Store, query: Select[Any]) -> list[str]:
    with store.read() as connection:
        return sorted(connection.execute(query).scalars())


def test_what_is_asked_for_is_found_to_the_letter(store: Store) -> None:
    fill(store, [*ODD, "other"])
    value = identifiers.c.value

    assert values_of(store, select(value).where(one_of(value, ODD))) == sorted(ODD)
    wanted = [*(("key", odd) for odd in ODD), ("other", "other")]
    assert values_of(store, select(value).where(pair_of(identifiers.c.kind, value, wanted))) == sorted(ODD)


def test_nothing_is_in_an_empty_list(store: Store) -> None:
    fill(store, ODD)
    value = identifiers.c.value

    assert values_of(store, select(value).where(one_of(value, []))) == []
    assert values_of(store, select(value).where(pair_of(identifiers.c.kind, value, []))) == []


def test_there_may_be_more_values_than_a_statement_takes_parameters(store: Store) -> None:
    fill(store, ["1", "69999"])
    value = identifiers.c.value
    many = [str(number) for number in range(70_000)]

    assert values_of(store, select(value).where(one_of(value, many))) == ["1", "69999"]
    pairs = [("key", number) for number in many]
    assert values_of(store, select(value).where(pair_of(identifiers.c.kind, value, pairs))) == ["1", "69999"]


def test_values_are_looked_up_by_the_index(store: Store) -> None:
    fill(store, [str(number) for number in range(5_000)])
    with store.write() as connection:
        connection.execute(text("ANALYZE identifiers"))
    of_pairs = select(identifiers).where(pair_of(identifiers.c.kind, identifiers.c.value, [("key", "7")]))
    of_leads = select(identifiers).where(one_of(identifiers.c.lead_id, ["lead 7"]))
    for query in (of_pairs, of_leads):
        plan = plan_of(store, query)
        assert "SCAN identifiers" not in plan, plan
        assert "Seq Scan on identifiers" not in plan, plan


def plan_of(store: Store, query: Select[Any]) -> str:
    explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    with store.read() as connection:
        compiled = query.compile(connection)
        parameters = tuple(compiled.params.values()) if store.is_sqlite else compiled.params
        rows = connection.exec_driver_sql(f"{explain} {compiled}", parameters)
        return "\n".join(str(row[-1]) for row in rows)


def test_an_error_of_the_database_does_not_tell_the_values(store: Store) -> None:
    fill(store, ["jane@example.com"])

    with pytest.raises((DBAPIError, StoreUnavailableError)) as caught, store.read() as connection:
        connection.execute(
            select(text("no_such_column")).where(one_of(identifiers.c.value, ["jane@example.com"]))
        )

    error: BaseException | None = caught.value
    while error is not None:  # a log tells of the causes too
        assert "jane@example.com" not in str(error)
        error = error.__cause__
