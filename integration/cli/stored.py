"""What the commands that look share: the store, and a connection to read with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from integration.core.settings import Settings
from integration.store.engine import Store
from integration.store.schema import require_current


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store. Raises SchemaBehindError, StoreUnavailableError."""
    store = Store(settings.database_url)
    try:
        require_current(store)
        yield store
    finally:
        store.dispose()


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A connection to read with. Raises SchemaBehindError, StoreUnavailableError."""
    with opened(settings) as store, store.read() as connection:
        yield connection
