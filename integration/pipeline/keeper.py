"""The last good configuration, kept in the store: a restart and a second machine have it too.

`config` takes it as values: what it asked for and did not find is read here, between two looks at the files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from integration.config.sources import Configuration, Sources
from integration.config.versions import GivenVersions, Version
from integration.core.clock import Clock, elapsed
from integration.core.errors import StoreUnavailableError
from integration.core.logs import log_action
from integration.store import mapping_rows
from integration.store.engine import Store
from integration.store.mapping_rows import StoredVersion

RECALL_SECONDS = 5.0  # how often versions of a file with a mistake are looked up again
log = logging.getLogger(__name__)

Run = Callable[[Callable[[], bool]], bool]


class AskedVersions:
    """Versions as the store has them for an account, of names that were asked for. Reads nothing itself."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._asked: set[str] = set()
        self._asked_names = self._read_names = False
        self._names: frozenset[str] = frozenset()
        self._known: dict[str, tuple[Version, ...]] = {}

    def names(self) -> Collection[str]:
        """See `Versions`."""
        self._asked_names = True
        return self._names

    def of(self, name: str) -> Sequence[Version]:
        """See `Versions`."""
        self._asked.add(name)
        return self._known.get(name, ())

    @property
    def is_behind(self) -> bool:
        """Whether somebody asked for what was never read."""
        return bool(self._asked - self._known.keys()) or (self._asked_names and not self._read_names)

    def read(self, store: Store) -> bool:
        """Read what was asked for; returns whether any of it is news."""
        before = self._names, dict(self._known)
        with store.read() as connection:
            if self._asked_names:
                self._names = frozenset(mapping_rows.names(connection, self._account))
                self._read_names = True
            found = mapping_rows.versions(connection, self._account, self._asked) if self._asked else {}
        self._known |= {name: tuple(map(_version, rows)) for name, rows in found.items()}
        return (self._names, self._known) != before


class Keeper:
    """Keeps a process's configuration: looks at its files, keeps their good versions in the store, and has
    those of the store at hand. `versions` are what `sources` falls back to. One step at a time.

    `run` runs what computes: in a web process in a thread of its own, never on the event loop.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        sources: Sources,
        versions: AskedVersions,
        clock: Clock,
        *,
        run: Run = lambda look: look(),
        elapsed: Callable[[], float] = elapsed,
    ) -> None:
        self._store = store
        self._account = account
        self._sources = sources
        self._versions = versions
        self._clock = clock
        self._run = run
        self._elapsed = elapsed
        self._kept: dict[str, str] = {}
        self._saved: Configuration | None = None
        self._said_unkept = False
        self._recalled_at = float("-inf")

    def step(self) -> None:
        """Look once. A store that is away is asked again at the next step."""
        self._run(self._sources.refresh)
        try:
            self._recall()
            self._save()
        except StoreUnavailableError:
            pass  # told by who needs the store more; the files count meanwhile
        except Exception as error:  # noqa: BLE001 - whatever it is, the files count meanwhile
            self._say_unkept(error)
        else:
            self._said_unkept = False
        self._sources.tell()

    def _say_unkept(self, error: Exception) -> None:
        if not self._said_unkept:
            self._said_unkept = True
            text = f"Good versions of mappings cannot be kept or found, and are tried again: {error}"
            log_action(log, "mapping.not_kept", text, logging.WARNING)

    def _recall(self) -> None:
        is_time = self._elapsed() - self._recalled_at >= RECALL_SECONDS
        if not (self._versions.is_behind or (is_time and self._sources.current.mistakes)):
            return
        self._recalled_at = self._elapsed()
        if self._versions.read(self._store):
            self._run(self._sources.recall)
            if self._versions.is_behind and self._versions.read(self._store):  # names led to other names
                self._run(self._sources.recall)

    def _save(self) -> None:
        current = self._sources.current
        if current is self._saved:  # others may have looked at the files too: what counts is what is in use
            return
        good = {version.name: version for version in self._sources.good}
        news = [version for name, version in good.items() if self._kept.get(name) != version.digest]
        if news:
            self._put(news)
            self._kept |= {version.name: version.digest for version in news}
        self._saved = current

    def _put(self, news: Sequence[Version]) -> None:
        with self._store.read() as connection:
            newest = mapping_rows.newest_digests(connection, self._account)
        fresh = [version for version in news if newest.get(version.name) != version.digest]
        if fresh:
            now = self._clock()
            rows = [StoredVersion(version.name, version.digest, version.text, now) for version in fresh]
            with self._store.write() as connection:
                mapping_rows.put(connection, self._account, rows)
            names = ", ".join(version.name for version in fresh)
            log_action(log, "mapping.kept", f"Kept as good: {names}", count=len(fresh))


def stored_versions(store: Store, account: str) -> GivenVersions:
    """All good versions of the account, for who looks once. Raises StoreUnavailableError."""
    with store.read() as connection:
        names = mapping_rows.names(connection, account)
        found = mapping_rows.versions(connection, account, names)
    return GivenVersions({name: tuple(map(_version, rows)) for name, rows in found.items()})


def _version(row: StoredVersion) -> Version:
    return Version(row.name, row.text, row.since)
