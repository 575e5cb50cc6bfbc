"""The schema's version: bringing it up to date, and refusing to work on an old one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from integration.errors import LeadwireError
from integration.store.engine import Store

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7_236_121_050  # any number: the name of our advisory lock


class SchemaBehindError(LeadwireError):
    """The database has not been brought up to date."""


def upgrade(store: Store) -> None:
    """Bring the schema up to date. Safe to run from several processes at once, and while others work."""
    with store.write() as connection:
        if not store.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(store: Store) -> None:
    """Raises SchemaBehindError if the schema is older than this program (a newer one is welcome: during a
    deploy old code runs on the new schema), StoreUnavailableError if the store does not answer.
    """
    with store.read() as connection:
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if found == _head() or (found and found not in _versions()):
                return
    raise SchemaBehindError(f"The database at {store.shown_as} is not up to date: run `leadwire db upgrade`.")


def _head() -> str:
    return _versions()[0]


@cache
def _versions() -> tuple[str, ...]:
    """All versions that this program knows, newest first."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(str(script.revision) for script in scripts)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
