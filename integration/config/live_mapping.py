"""One mapping file as it counts: the text in use, which is the file's own while that is good."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from integration.config.folders import File, Stamp
from integration.config.live_fields import LiveFields
from integration.config.versions import Version, Versions, digest_of
from integration.core.errors import Problem
from integration.core.values import Micros
from integration.lead.catalogue import Catalogue
from integration.mapping import MappingFile, Reception, SourceMapping, read_mapping

_SETTING = re.compile(rb"[A-Z][A-Z0-9_]*")
_SECRETS = re.compile(rb"""secrets["']?[ ]*:[ ]*((?:\[[^\]]*\])|(?:\s+-[ ]+\S+)+)""")


@dataclass(frozen=True, slots=True)
class LiveMapping:
    """A mapping file and what is used of it.

    `used` is the mapping in use; None where no version is good. `mistakes` keep the file's own text from
    being used as it is, since which the version of `since` goes on (0: from memory; None: the own text counts
    all the same). `test_problems` decide about nothing. `reception` lets requests in where `used` is None.
    `content` and `stamp` tell the file apart from what it becomes; None where it is not there.
    """

    file: File
    stamp: Stamp | None
    content: bytes | None
    used: SourceMapping | None = None
    mistakes: tuple[Problem, ...] = ()
    test_problems: tuple[Problem, ...] = ()
    reception: Reception | None = None
    since: Micros | None = None
    is_off: bool = False
    needs_lasting: bool = False

    @property
    def good(self) -> Version | None:
        """The text to keep as good; None if the file has mistakes."""
        if self.content is None or self.used is None or self.mistakes:
            return None
        return Version(self.file.name, self.content.decode("utf-8-sig", "replace"))

    @property
    def digest(self) -> str:
        """Of the file's content; "" where it is not there."""
        return "" if self.content is None else digest_of(self.content)


def may_be_configured(content: bytes, names: Collection[bytes]) -> bool:
    """Whether a mapping file can name one of these settings as its secret: cheap, and never wrongly no."""
    return not _SETTING.findall(content) or not set(_SETTING.findall(content)).isdisjoint(names)


def seeming_secrets(content: bytes) -> tuple[str, ...]:
    """The names that stand under `secrets:`, as far as can be told without reading the file whole."""
    found = _SECRETS.search(content)
    return tuple(name.decode() for name in _SETTING.findall(found[1])) if found else ()


def look(
    file: File, fields: LiveFields, versions: Versions, before: LiveMapping | None, *, gone: str = ""
) -> LiveMapping:
    """Read a mapping file and settle what is used. `gone` says what is wrong if it is not there."""
    stamp = file.stamp
    try:
        content = file.path.read_bytes()
    except OSError as error:
        message = gone or f"cannot be read: {error.strerror}"
        problem = Problem(file.shown_as, "", message, "bring it back; or remove the whole folder")
        return _fallen_back(LiveMapping(file, stamp, None, mistakes=(problem,)), fields, versions, before)
    own = _read(content, file, fields.declared)
    if own.is_off or own.mapping is not None:
        return LiveMapping(file, stamp, content, own.mapping, (), own.test_problems, is_off=own.is_off)
    found = LiveMapping(file, stamp, content, None, own.problems, own.test_problems, own.reception)
    return _fallen_back(found, fields, versions, before)


def still_fits(mapping: LiveMapping, catalogue: Catalogue) -> bool:
    """Whether a good mapping sets only fields that this catalogue knows as well."""
    if mapping.used is None or mapping.mistakes:
        return mapping.is_off
    names = {setter.field for rule in mapping.used.rules for setter in rule.sets}
    names |= {name for test in mapping.used.tests for name in test.expect or ()}
    return all(catalogue.field_problem(name) is None for name in names)


def _read(content: bytes, file: File, catalogue: Catalogue) -> MappingFile:
    return read_mapping(content, file.path.parent, file.shown_as, catalogue.field_problem, file.name)


def _fallen_back(
    found: LiveMapping, fields: LiveFields, versions: Versions, before: LiveMapping | None
) -> LiveMapping:
    """The same with the newest version that compiles, by all fields that were ever good."""
    reception = found.reception
    for since, compiled in _candidates(found, fields, versions, before):
        reception = reception or compiled.reception
        if compiled.mapping is not None:
            return _with(found, compiled.mapping, since)
    if before is not None:
        reception = reception or before.reception
    return LiveMapping(
        found.file, found.stamp, found.content, None, found.mistakes, found.test_problems, reception
    )


def _with(found: LiveMapping, used: SourceMapping, since: Micros | None) -> LiveMapping:
    return LiveMapping(
        found.file, found.stamp, found.content, used, found.mistakes, found.test_problems,
        since=since, needs_lasting=True,
    )  # fmt: skip


def _candidates(
    found: LiveMapping, fields: LiveFields, versions: Versions, before: LiveMapping | None
) -> Iterator[tuple[Micros | None, MappingFile]]:
    """What may be used instead, the best first: the text as it is, by the fields that a mistake took away;
    the versions that are kept; what this process used before.
    """
    if found.content is not None:
        yield None, _read(found.content, found.file, fields.lasting)
    yield from _kept(found.file, fields, versions.of(found.file.name))
    if before is not None and before.used is not None:
        yield before.since or 0, MappingFile(before.used, ())


def _kept(
    file: File, fields: LiveFields, versions: Sequence[Version]
) -> Iterator[tuple[Micros, MappingFile]]:
    for version in versions:
        yield version.since, _read(version.text.encode(), file, fields.lasting)
