"""The sources as configured: mapping files, signature schemes, secrets; picked up again when they change."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from integration.core.errors import Problem, SettingError
from integration.core.settings import read_secrets
from integration.core.values import Secret
from integration.lead.catalogue import Catalogue, CatalogueError, load_catalogue
from integration.mapping import MappingError, SourceMapping, load_mapping
from integration.verify import Scheme, build

REFRESH_SECONDS = 1.0
FIELDS_FILE = "fields.yaml"
MAPPING_FILE = "mapping.yaml"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Source:
    """A source that can be used: its mapping without problems, its scheme, and the secrets that are set.

    `fetch_settings` are those of the settings of its `fetch:` that are set, by name; `handshake_secrets`
    those of its handshakes.
    """

    name: str
    mapping: SourceMapping
    scheme: Scheme
    secrets: tuple[Secret, ...]
    fetch_settings: Mapping[str, Secret] = field(default_factory=dict)
    handshake_secrets: tuple[Secret, ...] = ()

    @property
    def missing_fetch_settings(self) -> tuple[str, ...]:
        """The settings without which the mapping's `fetch:` can get nothing."""
        wanted = self.mapping.fetch.settings if self.mapping.fetch else ()
        return tuple(name for name in wanted if name not in self.fetch_settings)

    @property
    def missing_secrets(self) -> tuple[str, ...]:
        """The settings of which at least one must be set before the source can receive; () when one is."""
        return () if self.secrets else self.mapping.verify.secrets


@dataclass(frozen=True, slots=True)
class BrokenSource:
    """A source whose mapping file has problems: it is off until they are mended, the others go on."""

    name: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """All sources at one moment, and the catalogue of lead fields that they write to."""

    catalogue: Catalogue
    sources: Mapping[str, Source | BrokenSource]
    problems: tuple[Problem, ...]


class Sources:
    """The current configuration of `directory`; looks for changes at most once a second."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environ = os.environ if environ is None else environ
        self._lock = threading.Lock()
        self._fingerprint = self._look()
        self._checked_at = time.monotonic()
        self._configuration = load_configuration(directory, self._environ)

    @property
    def current(self) -> Configuration:
        """The configuration as the files are now."""
        if time.monotonic() - self._checked_at > REFRESH_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._configuration

    def get(self, name: str) -> Source | BrokenSource | None:
        """The source of this name, if there is one."""
        return self.current.sources.get(name)

    def ready_for(self, names: Collection[str]) -> Configuration:
        """The configuration to translate events of these sources by.

        Another process may have seen a mended mapping a moment earlier than this one: before an event is set
        aside for want of a mapping, the files are looked at anew.
        """
        configuration = self.current
        if all(isinstance(configuration.sources.get(name), Source) for name in names):
            return configuration
        with self._lock:
            self._refresh()
        return self._configuration

    def _refresh(self) -> None:
        fingerprint = self._look()
        if fingerprint != self._fingerprint:
            self._configuration = load_configuration(self._directory, self._environ)
            self._fingerprint = fingerprint
        self._checked_at = time.monotonic()

    def _look(self) -> frozenset[tuple[str, int, int]]:
        secret_files = (Path(path) for name, path in self._environ.items() if name.endswith("_FILE"))
        return frozenset(_stamps([*_configuration_files(self._directory), *secret_files]))


def load_configuration(directory: Path, environ: Mapping[str, str]) -> Configuration:
    """Read everything under `directory`; what is wrong becomes problems, never an exception."""
    catalogue, problems = _load_catalogue(directory)
    sources = {
        folder.name: _load_source(folder, directory, catalogue, environ) for folder in _folders(directory)
    }
    problems = (*problems, *_misnamed_folders(directory))
    broken = (source.problems for source in sources.values() if isinstance(source, BrokenSource))
    return Configuration(catalogue, sources, (*problems, *(problem for group in broken for problem in group)))


def _load_catalogue(directory: Path) -> tuple[Catalogue, tuple[Problem, ...]]:
    file = directory / FIELDS_FILE
    if not directory.is_dir():
        cure = "set MAPPINGS_DIR to the folder that holds one folder per source"
        return load_catalogue(None, ""), (Problem(str(directory), "", "there is no such folder", cure),)
    try:
        return load_catalogue(file if file.exists() else None, _shown(directory, file)), ()
    except CatalogueError as error:
        return load_catalogue(None, ""), error.problems


def _load_source(
    folder: Path, directory: Path, catalogue: Catalogue, environ: Mapping[str, str]
) -> Source | BrokenSource:
    file = folder / MAPPING_FILE
    shown_as = _shown(directory, file)
    try:
        mapping = load_mapping(file, shown_as, catalogue.field_problem)
        scheme = build(mapping.verify.options)
        secrets = read_secrets(mapping.verify.secrets, environ)
        fetching = read_secrets(mapping.fetch.settings if mapping.fetch else (), environ)
        tokens = (entry.token_secret for entry in mapping.handshake if entry.token_secret)
        handshake_secrets = read_secrets(tuple(tokens), environ)
    except MappingError as error:
        return BrokenSource(folder.name, error.problems)
    except (ValueError, SettingError) as error:
        return BrokenSource(folder.name, (Problem(shown_as, "verify", str(error)),))
    if mapping.source != folder.name:
        return BrokenSource(folder.name, (_misnamed(mapping.source, folder.name, shown_as),))
    fetch_settings = {found.name: found for found in fetching}
    return Source(folder.name, mapping, scheme, secrets, fetch_settings, handshake_secrets)


def _misnamed_folders(directory: Path) -> Iterator[Problem]:
    for file in sorted(directory.glob(f"*/{MAPPING_FILE}")):
        if not _NAME.fullmatch(file.parent.name):
            cure = "use lower-case letters, digits, - and _: the name is part of the URL"
            yield Problem(_shown(directory, file), "", "the folder's name cannot be a source's name", cure)


def _misnamed(source: str, folder: str, shown_as: str) -> Problem:
    return Problem(
        shown_as, "source", f"is {source!r}, but the folder is {folder!r}", f"write `source: {folder}`"
    )


def _folders(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (
            folder
            for folder in sorted(directory.iterdir())
            if _NAME.fullmatch(folder.name) and (folder / MAPPING_FILE).is_file()
        )


def _configuration_files(directory: Path) -> list[Path]:
    return [directory / FIELDS_FILE, *(folder / MAPPING_FILE for folder in _folders(directory))]


def _stamps(files: list[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        yield str(file), status.st_mtime_ns, status.st_size


def _shown(directory: Path, file: Path) -> str:
    """`mappings/stripe/mapping.yaml`, wherever the folder really is."""
    return str(Path(directory.name) / file.relative_to(directory))
