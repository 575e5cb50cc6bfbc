"""Where the files of a test's own PostgreSQL server are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder outside of pytest's: for root, the server runs as another user, and pytest closes its tree to
    others whenever a session starts, even beside this one.
    """
    with tempfile.TemporaryDirectory(prefix="leadwire-server-") as folder:
        yield Path(folder) / "postgresql"
