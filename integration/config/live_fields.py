"""fields.yaml as it counts: yours over the shipped one, and what was good before where yours has mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from integration.config.folders import FIELDS, File, Layers, Stamp
from integration.config.versions import Version, Versions
from integration.core.errors import Problem
from integration.core.values import Micros
from integration.lead.catalogue import Catalogue
from integration.lead.fields_file import (
    Entry,
    FieldsFile,
    Value,
    catalogue_of,
    laid_over,
    read_fields,
    repaired,
)

Entries = Mapping[Entry, Value]
NOTHING = FieldsFile()
NO_ENTRIES: Entries = {}


class LiveFields:
    """One look at the fields. `declared` is the catalogue that files are judged by: what stands in the files
    now; while yours cannot be used as a whole, that of its last good version.

    `lasting` has besides what mistakes took away: fields that good versions of fields.yaml declared. Mapping
    files that were good before such a mistake go on by it.
    """

    def __init__(self, layers: Layers, versions: Versions, before: LiveFields | None = None) -> None:
        self.file = layers.fields
        self.stamps = stamps_of_fields(layers)
        self._versions = versions
        self._before = before.known if before else NO_ENTRIES
        self._own_before = before.own if before else NOTHING
        self._shipped = _read(layers.shipped_fields) if layers.shipped_fields else NOTHING
        self._content = _content(self.file)
        self._own = self._read_own(is_folder=layers.is_there)
        self.problems = self._shipped.problems + self._own.problems

    @property
    def good(self) -> Version | None:
        """The text to keep as good: yours, if it can be used."""
        if self._content is None or not self._own.is_usable:
            return None
        return Version(FIELDS, self._content.decode("utf-8-sig", "replace"))

    @property
    def mistakes(self) -> tuple[Problem, ...]:
        """What keeps your file from being used as it is."""
        return self._own.problems

    @property
    def since(self) -> Micros | None:
        """From when the version is that goes on; None where your file itself does."""
        if self._own.is_usable:
            return None
        versions = self._versions.of(FIELDS)
        return versions[0].since if versions else 0

    @cached_property
    def declared(self) -> Catalogue:
        """What files are judged by."""
        return catalogue_of(self._now)

    @cached_property
    def lasting(self) -> Catalogue:
        """What goes on in spite of mistakes."""
        return catalogue_of(repaired(self._now, self._earlier))

    @cached_property
    def _now(self) -> FieldsFile:
        return laid_over(self.own, self._shipped)

    @cached_property
    def _last_good(self) -> FieldsFile:
        """The newest version that can be used as a whole; else what this process knew before."""
        for version in self._versions.of(FIELDS):
            found = read_fields(version.text.encode(), self.file.shown_as)
            if found.is_usable:
                return replace(found, broken={}, problems=())
        return replace(self._own_before, broken={}, problems=())

    @property
    def own(self) -> FieldsFile:
        """What counts of your file."""
        return self._own if self._own.is_usable else self._last_good

    @cached_property
    def known(self) -> Entries:
        """All entries of your file that this process has seen good, the newest of each."""
        return {**self._before, **self.own.entries}

    @cached_property
    def _earlier(self) -> FieldsFile:
        """All that good versions said, the newest of each entry."""
        entries: dict[Entry, Value] = {}
        for version in reversed(self._versions.of(FIELDS)):
            entries |= read_fields(version.text.encode(), self.file.shown_as).entries
        return FieldsFile({**entries, **self._before})

    def _read_own(self, *, is_folder: bool) -> FieldsFile:
        if self._content is not None:
            return read_fields(self._content, self.file.shown_as)
        if not self._before and not self._versions.of(FIELDS):
            return NOTHING
        cure = "bring it back; if nothing of your own is meant, write `version: 1` and `fields: {}`"
        message = "is gone" if is_folder else "is gone with its folder"
        return FieldsFile(problems=(Problem(self.file.shown_as, "", message, cure),), is_usable=False)


def stamps_of_fields(layers: Layers) -> tuple[Stamp | None, ...]:
    """What changes when one of the files is written."""
    beneath = layers.shipped_fields
    return layers.fields.stamp, beneath.stamp if beneath else None


def _content(file: File) -> bytes | None:
    try:
        return file.path.read_bytes()
    except OSError:
        return None


def _read(file: File) -> FieldsFile:
    content = _content(file)
    return NOTHING if content is None else read_fields(content, file.shown_as)
