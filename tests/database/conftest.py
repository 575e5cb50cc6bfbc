"""The engine over each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.store.engine import Store
from tests.engine import Engine, running


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> Iterator[Engine]:
    with running(store, tmp_path) as engine:
        yield engine
