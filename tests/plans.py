"""How a database goes about a query."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, event, text

from integration.store.engine import Store


def plan_of(
    store: Store, query: Callable[[Connection], object], first: Callable[[str], bool] = lambda _: True
) -> str:
    """The plan of the first statement of `query` for which `first` holds."""
    asked: list[tuple[str, object]] = []

    def keep(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    with store.write() as connection:
        query(connection)
    event.remove(store.engine, "before_cursor_execute", keep)
    statement, parameters = next(found for found in asked if first(found[0]))
    explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    with store.write() as connection:
        if not store.is_sqlite:  # in tables as small as these its planner would rather read and sort all
            for way in ("seqscan", "bitmapscan", "sort", "hashagg", "incremental_sort"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
        return "\n".join(str(row[-1]) for row in rows)
