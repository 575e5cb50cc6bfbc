"""How a worker learns that another process committed something, without asking the tables all the time."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from integration.core.clock import elapsed
from integration.core.errors import StoreUnavailableError
from integration.core.world import world
from integration.store.engine import Store

CHANNEL = "leadwire"
SQLITE_POLL_SECONDS = 0.01
RECONNECT_SECONDS = 1.0


def announce(connection: Connection) -> None:
    """Tell the workers, once this transaction commits, that there is something to do.

    On SQLite the commit itself is the news: see `Changes`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))


class Changes:
    """Waits for news from other processes: LISTEN on PostgreSQL, `PRAGMA data_version` on SQLite.

    The pragma changes when another connection commits and costs a few microseconds to ask
    (https://www.sqlite.org/pragma.html#pragma_data_version).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = ExitStack()
        self._connection: Connection | None = None
        self._version = 0

    def wait(self, seconds: float) -> bool:
        """True once something was committed elsewhere; False after `seconds` without news or store."""
        try:
            connection = self._connected()
            return self._poll(connection, seconds) if self._store.is_sqlite else _listen(connection, seconds)
        except (DBAPIError, sqlite3.Error, psycopg.Error, StoreUnavailableError, OSError):
            self.close()
            world().sleep(min(seconds, RECONNECT_SECONDS))
            return False

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._open.enter_context(self._store.engine.connect())
            self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            if not self._store.is_sqlite:
                self._connection.execute(text(f"LISTEN {CHANNEL}"))
        return self._connection

    def _poll(self, connection: Connection, seconds: float) -> bool:
        deadline = elapsed() + seconds
        driver = _driver(connection)  # through SQLAlchemy it would run in a transaction, which sees no change
        while True:
            (version,) = driver.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version = version
                return True
            if elapsed() >= deadline:
                return False
            world().sleep(SQLITE_POLL_SECONDS)

    def close(self) -> None:
        """Let go of the connection; the next `wait` opens a new one."""
        with suppress(DBAPIError, psycopg.Error, OSError):
            self._open.close()
        self._open = ExitStack()
        self._connection = None

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()


def _listen(connection: Connection, seconds: float) -> bool:
    return any(True for _ in _driver(connection).notifies(timeout=seconds, stop_after=1))


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    if driver is None:
        raise StoreUnavailableError("The connection that listens for news is gone.")
    return driver
