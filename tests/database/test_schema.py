"""The schema: migrated equals declared, and old code on a newer schema."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from integration.store.engine import Store
from integration.store.schema import SchemaBehindError, require_current, version_of, versions
from integration.store.tables import metadata
from integration.store.upgrade import migrations, upgrade


def test_the_migrated_schema_is_the_declared_one(store: Store) -> None:
    with store.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_partial_indexes_are_partial(store: Store) -> None:
    with store.read() as connection:
        catalogue = "sqlite_master" if store.is_sqlite else "pg_indexes"
        column = "sql" if store.is_sqlite else "indexdef"
        name = "name" if store.is_sqlite else "indexname"
        query = text(f"SELECT {column} FROM {catalogue} WHERE {name} = 'events_received'")
        definition = connection.execute(query).scalar_one()

    assert "WHERE" in definition


def test_upgrading_twice_changes_nothing(store: Store) -> None:
    assert upgrade(store) is None

    require_current(store)


def test_an_empty_database_says_what_to_run(database_url: str) -> None:
    store = Store(database_url)
    with pytest.raises(SchemaBehindError, match="is not up to date: run `leadwire db upgrade`"):
        require_current(store)
    store.dispose()


def test_a_newer_schema_is_welcome_to_old_code(store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    require_current(store)
    assert upgrade(store) == "9999", "it stays as it is"
    with store.read() as connection:
        assert version_of(connection) == "9999"


def test_the_versions_are_those_of_the_migrations_in_their_order() -> None:
    scripts = ScriptDirectory.from_config(migrations()).walk_revisions()

    assert versions() == tuple(reversed([script.revision for script in scripts]))
