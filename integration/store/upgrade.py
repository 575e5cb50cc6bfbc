"""Bringing the schema up to date: the only part that needs Alembic, which no long-running process loads."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from integration.store.engine import Store
from integration.store.schema import MIGRATIONS, is_newer, version_of

_LOCK = 7_236_121_050  # any number: the name of our advisory lock


def upgrade(store: Store) -> str | None:
    """Bring the schema up to date. Safe to run from several processes at once, and while others work.

    A schema that is newer than this program stays as it is: its version is returned. Else None.
    """
    with store.write() as connection:
        if not store.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = version_of(connection)
        if is_newer(found):
            return found
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return None


def migrations() -> Config:
    """Alembic's configuration for our migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
