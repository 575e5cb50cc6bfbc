"""The store: one engine on SQLite or PostgreSQL, with the same two doors, `read` and `write`."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from integration.core.errors import SettingError, StoreUnavailableError
from integration.core.world import world

SQLITE_BUSY_SECONDS = 10
PAGE_CACHE_KIB = 8 * 1024
# 16 MB of write-ahead log. SQLite's own 1,000 pages are full after 20 groups, and each checkpoint writes
# the same index pages to the database again: a third more CPU for each commit.
CHECKPOINT_PAGES = 4_000
# A server that vanished without a word would otherwise keep the writer waiting for a quarter of an hour.
GIVE_UP_ON_A_SILENT_SERVER = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
# The driver's own errors, which have no SQLSTATE: an outage while connecting, and an unknown option.
_REFUSING = {"OperationalError", "ProgrammingError"}
_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock


# What the server, or the driver, says of an address or credentials that waiting does not make right.
_REFUSALS = re.compile(
    r'password authentication failed|no password supplied|(database|role) "[^"]*" does not exist'
    r"|no pg_hba\.conf entry|invalid connection option|invalid \w+ value"
)


class StoreRefusedError(StoreUnavailableError):
    """The database cannot be used with this DATABASE_URL, however long one waits."""


class StoreConflictError(StoreUnavailableError):
    """Two transactions were in each other's way (a deadlock): run again, this one finds the other done."""


class Store:
    """A database and its doors. `url` is SQLAlchemy's form, or `postgres://` as PaaS hosts write it."""

    def __init__(self, url: str, *, pool_size: int = 4) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            _sqlite_engine(self.url, pool_size) if self.is_sqlite else _postgresql_engine(self.url, pool_size)
        )
        self._lock_path = f"{self.url.database}.lock" if self.is_sqlite else ""

    @property
    def shown_as(self) -> str:
        """The address without its password, for messages."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with; what it sees does not change while it is open on SQLite.

        Raises StoreUnavailableError if the database does not answer.
        """
        with _failures_named(self.shown_as), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits, durably, when the block ends, and leaves nothing behind if it raises.

        Raises StoreUnavailableError if the database does not answer or cannot be written to.
        """
        with _failures_named(self.shown_as), self.writing() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The right to write, without a transaction yet.

        On SQLite writers queue at a file lock first: SQLite itself polls for its lock with growing pauses,
        which cost up to 800 ms at the 99th percentile with two processes.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                yield connection
            return
        with world().file_lock(self._lock_path), self.engine.connect() as connection:
            yield connection.execution_options(leadwire_begin="IMMEDIATE")

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def parse_url(url: str) -> URL:
    """The parsed DATABASE_URL; raises SettingError (never showing a password) if it is of no use."""
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingError(
            "DATABASE_URL cannot be read: write sqlite:///path or postgresql://user:password@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise SettingError(
        f"DATABASE_URL: {backend} cannot be used: write sqlite:///path or postgresql://user:password@host/name"
    )


@contextmanager
def _failures_named(shown_as: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _CONFLICTS:
            raise StoreConflictError(
                f"The store at {shown_as} had to end a transaction that was in the way of another; "
                "it is tried again."
            ) from error
        if type(error.orig).__name__ in _REFUSING and _REFUSALS.search(str(error.orig)):
            raise StoreRefusedError(
                f"DATABASE_URL: the database at {shown_as} cannot be used: {_first_line(error.orig)}"
            ) from error
        if not _is_outage(error):
            raise
        raise StoreUnavailableError(
            f"The store at {shown_as} is not available: {_first_line(error.orig)}"
        ) from error
    except OSError as error:
        raise StoreUnavailableError(f"The store at {shown_as} is not available: {error.strerror}") from error


def _is_outage(error: DBAPIError) -> bool:
    """Whether the database itself is the trouble, as opposed to what was asked of it."""
    if isinstance(error.orig, sqlite3.DatabaseError):
        return not isinstance(
            error.orig, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError
        )
    return error.connection_invalidated or type(error.orig).__name__ in {
        "OperationalError", "AdminShutdown", "CrashShutdown", "CannotConnectNow", "DiskFull",
        "ReadOnlySqlTransaction", "ConnectionTimeout", "TooManyConnections",
        "IdleInTransactionSessionTimeout", "InterfaceError",
        "UndefinedTable", "UndefinedColumn",  # the schema is behind, which `leadwire db upgrade` cures
    }  # fmt: skip


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


def _sqlite_engine(url: URL, pool_size: int) -> Engine:
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size * 4,
        hide_parameters=True,  # an error that is logged must not tell what people's events hold
        connect_args={"timeout": SQLITE_BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "checkout", _refuse_moved_file)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    # WAL with FULL: every commit is fsynced before it returns (https://www.sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    (_, _, path), *_ = connection.execute("PRAGMA database_list")
    record.info["file"] = path, os.stat(path).st_ino


def _refuse_moved_file(
    _connection: sqlite3.Connection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """A kept connection would go on committing to a file that was deleted or replaced: to nowhere."""
    path, inode = record.info["file"]
    try:
        moved = os.stat(path).st_ino != inode
    except FileNotFoundError:
        moved = True
    if moved:
        raise InvalidatePoolError(f"{path} is another file than the one that was opened")


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("leadwire_begin", "DEFERRED")
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    driver.execute(f"BEGIN {mode}")  # past SQLAlchemy, which takes 25 µs longer


def _postgresql_engine(url: URL, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size * 4,
        hide_parameters=True,
        connect_args={"application_name": "leadwire", **GIVE_UP_ON_A_SILENT_SERVER},
    )
    event.listen(engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(
    connection: psycopg.Connection[Any], _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """A server that closed an idle connection (by a restart) has said so on its socket: no need to ask it."""
    try:
        connection.pgconn.consume_input()  # its last words, if any
        connection.pgconn.consume_input()  # and the end
    except psycopg.OperationalError as error:
        raise InvalidatePoolError("the server closed the connection") from error
