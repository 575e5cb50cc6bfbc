"""The schema's version: refusing to work on an old one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import inspect, text

from integration.core.errors import LeadwireError
from integration.store.engine import Store

MIGRATIONS = Path(__file__).with_name("migrations")


class SchemaBehindError(LeadwireError):
    """The database has not been brought up to date."""


def require_current(store: Store) -> None:
    """Raises SchemaBehindError if the schema is older than this program (a newer one is welcome: during a
    deploy old code runs on the new schema), StoreUnavailableError if the store does not answer.
    """
    with store.read() as connection:
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if found == versions()[-1] or (found and found not in versions()):
                return
    raise SchemaBehindError(f"The database at {store.shown_as} is not up to date: run `leadwire db upgrade`.")


@cache
def versions() -> tuple[str, ...]:
    """All versions that this program knows, oldest first: what the migrations' file names begin with."""
    return tuple(sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/[0-9]*.py")))
