"""The schema's version: refusing to work on an old one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from integration.core.errors import LeadwireError
from integration.store.engine import Store

MIGRATIONS = Path(__file__).with_name("migrations")


class SchemaBehindError(LeadwireError):
    """The database has not been brought up to date."""


def require_current(store: Store) -> None:
    """Raises SchemaBehindError if the schema is older than this program (a newer one is welcome: during a
    deploy, and after a rollback, old code runs on the new schema), StoreUnavailableError if the store does
    not answer.
    """
    with store.read() as connection:
        found = version_of(connection)
    if found != versions()[-1] and not is_newer(found):
        raise SchemaBehindError(
            f"The database at {store.shown_as} is not up to date: run `leadwire db upgrade`."
        )


def version_of(connection: Connection) -> str | None:
    """The version of the schema; None if the database has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def is_newer(version: str | None) -> bool:
    """Whether this is the version of a program that is newer than this one: no migration here has it."""
    return bool(version) and version not in versions()


def said_of(version: str | None) -> str:
    """One clause on a schema that is newer than this program."""
    return f"its schema is newer than this program ({version}; this program knows up to {versions()[-1]})"


@cache
def versions() -> tuple[str, ...]:
    """All versions that this program knows, oldest first: what the migrations' file names begin with."""
    return tuple(sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/[0-9]*.py")))
