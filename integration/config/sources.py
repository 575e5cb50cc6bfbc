"""The live configuration: what is in use at this moment, everybody's one source of it.

Files are looked at by `refresh`, which compiles what changed and nothing else. A file with a mistake changes
nothing but a warning: its last good version goes on. See docs/design.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from integration.config.configuration import (
    AnySource,
    BrokenSource,
    Configuration,
    HeldSource,
    Mistake,
    Receiver,
    Source,
    UnsetSource,
)
from integration.config.folders import (
    FIELDS,
    FIELDS_FILE,
    MAPPING_FILE,
    Layers,
    Origin,
    secret_files,
    stamp_of,
)
from integration.config.live_fields import LiveFields, stamps_of_fields
from integration.config.loading import Look, configuration_of, state_of
from integration.config.versions import NO_VERSIONS, Version, Versions
from integration.core.logs import log_action
from integration.core.world import world
from integration.lead.catalogue import Catalogue

__all__ = [
    "FIELDS",
    "FIELDS_FILE",
    "MAPPING_FILE",
    "BrokenSource",
    "Configuration",
    "HeldSource",
    "Mistake",
    "Origin",
    "Receiver",
    "Source",
    "Sources",
    "UnsetSource",
    "load_configuration",
    "load_fields",
]

log = logging.getLogger(__name__)


class Sources:
    """The configuration in use. `current` is at hand at once; `refresh` looks at the files.

    `shipped` are the mappings beneath `directory`. `versions` has the good versions to fall back to. With
    `only_configured`, folders whose secrets are not set are left alone until `ready_for` asks for them.
    Safe for many threads.
    """

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str] | None = None,
        shipped: Path | None = None,
        *,
        versions: Versions = NO_VERSIONS,
        only_configured: bool = False,
    ) -> None:
        self._directory = directory
        self._shipped = shipped
        self._environ = os.environ if environ is None else environ
        self._versions = versions
        self._only_configured = only_configured
        self._lock = world().lock()
        self._wanted: frozenset[str] = frozenset()
        self._seen = self._stamps()
        self._state = state_of(self._look())
        self._configuration = configuration_of(self._state, self._environ)
        self._told: Configuration | None = None

    @property
    def current(self) -> Configuration:
        """The configuration in use."""
        return self._configuration

    @property
    def good(self) -> list[Version]:
        """The texts in use that are good: those to keep."""
        return [*self._state.good()]

    def get(self, name: str) -> AnySource | None:
        """The source of this name, if there is one."""
        return self._configuration.sources.get(name)

    def ready_for(self, names: Collection[str]) -> Configuration:
        """The configuration to translate events of these sources by.

        Another process may have seen a fixed mapping a moment earlier than this one: before an event is set
        aside for want of a mapping, the files are looked at again.
        """
        if not all(isinstance(self._configuration.sources.get(name), Source) for name in names):
            with self._lock:
                self._wanted |= frozenset(names)
            self.refresh()
        return self._configuration

    def refresh(self) -> bool:
        """Look at the files, and compile what changed; returns whether anything did."""
        with self._lock:
            if self._stamps() == self._seen:
                return False
            self._load(recalls=False)
            return True

    def recall(self) -> bool:
        """There is news among the good versions: use it where a file has mistakes."""
        with self._lock:
            self._load(recalls=True)
            return True

    def tell(self) -> None:
        """Log what changed since it was told last: each mistake once."""
        if self._told is not self._configuration:
            before, self._told = self._told, self._configuration
            _report(before, self._configuration)

    def _load(self, *, recalls: bool) -> None:
        seen = self._stamps()
        self._state = state_of(self._look(recalls=recalls), self._state)
        self._configuration = configuration_of(self._state, self._environ)
        self._seen = seen

    @property
    def _layers(self) -> Layers:
        return Layers.of(self._directory, self._shipped)

    def _stamps(self) -> object:
        layers = self._layers
        files = layers.mappings()
        secrets = [stamp_of(file) for file in secret_files(self._environ)]
        return (
            self._wanted, stamps_of_fields(layers), tuple((name, file.stamp) for name, file in files.items()),
            tuple(secrets), layers.is_there, tuple(layers.misnamed()),
        )  # fmt: skip

    def _look(self, *, recalls: bool = False) -> Look:
        settings = _set_names(self._environ) if self._only_configured else None
        return Look(self._layers, self._versions, self._wanted, settings, recalls)


def load_configuration(
    directory: Path,
    environ: Mapping[str, str],
    shipped: Path | None = None,
    versions: Versions = NO_VERSIONS,
    *,
    only_configured: bool = False,
) -> Configuration:
    """Read everything under `directory`; what is wrong becomes problems, never an exception. The rest is as
    for Sources.
    """
    settings = _set_names(environ) if only_configured else None
    look = Look(Layers.of(directory, shipped), versions, settings=settings)
    return configuration_of(state_of(look), environ)


def load_fields(directory: Path, shipped: Path | None = None) -> Catalogue:
    """The fields alone: what counts of fields.yaml, whatever is wrong with the rest of it."""
    return LiveFields(Layers.of(directory, shipped), NO_VERSIONS).declared


def _set_names(environ: Mapping[str, str]) -> frozenset[bytes]:
    """The names of the settings that are set, here or in a file."""
    names = (name.removesuffix("_FILE") for name, value in environ.items() if value.strip())
    return frozenset(os.fsencode(name) for name in names)


# What is told, once


def _report(before: Configuration | None, after: Configuration) -> None:
    told = before.mistakes if before else {}
    for name, mistake in after.mistakes.items():
        old = told.get(name)
        if old is None or (old.problems, old.is_off) != (mistake.problems, mistake.is_off):
            log_action(log, "mapping.refused", str(mistake), logging.WARNING, source=name)
    if before is None:
        return
    for name in sorted(_taken(before, after)):
        log_action(log, "mapping.taken", f"What {name} says now is in use", source=name)
    for name in before.sources.keys() - after.sources.keys():
        why = "is switched off" if name in after.off else "is gone: its folder was removed"
        log_action(log, "mapping.gone", f"{name} {why}; its URL answers 404", logging.WARNING, source=name)


def _taken(before: Configuration, after: Configuration) -> set[str]:
    """Whose files are good now, and were not or were others."""
    fixed = before.mistakes.keys() - after.mistakes.keys()
    if FIELDS not in after.mistakes and before.fields_version != after.fields_version:
        fixed |= {FIELDS}
    return {name for name in fixed if name == FIELDS or name in after.sources} | {
        name
        for name, source in after.sources.items()
        if isinstance(source, Source)
        and name not in after.mistakes
        and isinstance(old := before.sources.get(name), Source)
        and old.mapping.version != source.mapping.version
    }
