"""From one look at the files to what is in use; what did not change since the look before is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from integration.config import live_mapping
from integration.config.configuration import (
    AnySource,
    BrokenSource,
    Configuration,
    HeldSource,
    Mistake,
    Source,
    UnsetSource,
)
from integration.config.folders import FIELDS, File, Layers, Origin
from integration.config.live_fields import LiveFields, stamps_of_fields
from integration.config.live_mapping import LiveMapping, may_be_configured, seeming_secrets, still_fits
from integration.config.versions import Version, Versions
from integration.core.errors import Problem, SettingError
from integration.core.settings import read_secrets
from integration.core.values import Handshake, Secret
from integration.verify import build


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at. `settings` are the names of those that are set, where a source that has none of them
    is not compiled, unless it is `wanted`. With `recalls`, files with mistakes are looked at again.
    """

    layers: Layers
    versions: Versions
    wanted: frozenset[str] = frozenset()
    settings: frozenset[bytes] | None = None
    recalls: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What was found: the fields, the mapping files that count, and the sources that were not compiled."""

    layers: Layers
    fields: LiveFields
    mappings: Mapping[str, LiveMapping]
    unset: Mapping[File, UnsetSource]

    def good(self) -> Iterator[Version]:
        """The texts that are good: those to keep."""
        for good in (self.fields.good, *(found.good for found in self.mappings.values())):
            if good is not None:
                yield good


def state_of(look: Look, before: State | None = None) -> State:
    """What the files are now."""
    fields = _fields(look, before)
    files = {**look.layers.mappings(), **_lost(look, before)}
    mappings: dict[str, LiveMapping] = {}
    unset: dict[File, UnsetSource] = {}
    for name, file in sorted(files.items()):
        old = before.mappings.get(name) if before else None
        if old is not None and _is_as_before(look, old, file, fields, before):
            mappings[name] = old
        elif old is None and (missing := _missing(look, file)) is not None:
            unset[file] = missing
        else:
            mappings[name] = live_mapping.look(file, fields, look.versions, old)
    return State(look.layers, fields, mappings, unset)


def _fields(look: Look, before: State | None) -> LiveFields:
    if before is None:
        return LiveFields(look.layers, look.versions)
    same = before.layers == look.layers and before.fields.stamps == stamps_of_fields(look.layers)
    if same and not look.recalls:
        return before.fields
    return LiveFields(look.layers, look.versions, before.fields)


def _is_as_before(look: Look, old: LiveMapping, file: File, fields: LiveFields, before: State | None) -> bool:
    if old.file != file or old.stamp != file.stamp or (look.recalls and old.mistakes):
        return False
    return (before is not None and before.fields is fields) or still_fits(old, fields.declared)


def _lost(look: Look, before: State | None) -> dict[str, File]:
    """Mapping files that are not there although their folders are, or are not there with all the rest: both
    are mistakes. A folder that is gone alone was removed on purpose.
    """
    yours = look.layers.yours
    there = look.layers.mappings()
    if look.layers.is_there:
        names = [folder.name for folder in yours.iterdir() if folder.is_dir() and folder.name not in there]
        if not names:
            return {}
        known = _known(look, before)
        return {name: look.layers.mapping(name) for name in names if name in known}
    return {name: look.layers.mapping(name) for name in _known(look, before)}


def _known(look: Look, before: State | None) -> set[str]:
    """The sources that were in use before, here or elsewhere."""
    here = {name for name, found in before.mappings.items() if not found.is_off} if before else set()
    return (here | {*look.versions.names()}) - {FIELDS}


def _missing(look: Look, file: File) -> UnsetSource | None:
    """The source as one that is not configured; None where it may be, or ever was: it is compiled."""
    if look.settings is None or file.name in look.wanted:
        return None
    try:
        content = file.path.read_bytes()
    except OSError:
        return None
    if may_be_configured(content, look.settings) or file.name in look.versions.names():
        return None
    return UnsetSource(file.name, seeming_secrets(content))


# From the state to the configuration


def configuration_of(state: State, environ: Mapping[str, str]) -> Configuration:
    """What is in use, with the secrets that are set now."""
    used = {name: found for name, found in state.mappings.items() if not found.is_off}
    bound = {name: _bound(found, environ) for name, found in used.items()}
    unset = {source.name: source for source in state.unset.values()}
    lasting = state.fields.mistakes or any(found.needs_lasting for found in used.values())
    mistakes = {name: _mistake(found) for name, found in used.items() if found.mistakes}
    return Configuration(
        state.fields.lasting if lasting else state.fields.declared,
        dict(sorted({**bound, **unset}.items())),
        tuple(_problems(state, environ)),
        {**_mistake_of_fields(state.fields), **mistakes},
        {file.name: file.origin for file in (*(found.file for found in used.values()), *state.unset)},
        tuple(name for name, found in state.mappings.items() if found.is_off),
        state.fields.good.digest if state.fields.good else "",
    )


def _problems(state: State, environ: Mapping[str, str]) -> Iterator[Problem]:
    yield from _no_folder(state)
    yield from state.fields.problems
    yield from state.layers.misnamed()
    for found in state.mappings.values():
        yield from (*found.mistakes, *found.test_problems)
        yield from _unreadable_settings(found, environ)


def _no_folder(state: State) -> Iterator[Problem]:
    yours = state.layers.yours
    if not state.layers.is_there and (
        state.layers.shipped is None or state.mappings.keys() - _shipped(state)
    ):
        cure = "set MAPPINGS_DIR to the folder that holds one folder per source"
        yield Problem(str(yours), "", "there is no such folder", cure)


def _shipped(state: State) -> set[str]:
    return {name for name, found in state.mappings.items() if found.file.origin is Origin.SHIPPED}


def _mistake(found: LiveMapping) -> Mistake:
    return Mistake(found.file.name, found.mistakes, found.since, is_off=found.used is None)


def _mistake_of_fields(fields: LiveFields) -> dict[str, Mistake]:
    return {FIELDS: Mistake(FIELDS, fields.mistakes, fields.since)} if fields.mistakes else {}


def _bound(found: LiveMapping, environ: Mapping[str, str]) -> AnySource:
    """What is used of a mapping file, with its secrets."""
    name = found.file.name
    given = partial(_secrets, environ=environ)
    if found.used is not None:
        verify, fetch = found.used.verify, found.used.fetch
        fetching = {secret.name: secret for secret in given(fetch.settings if fetch else ())}
        tokens = given(_tokens(found.used.handshake))
        return Source(name, found.used, build(verify.options), given(verify.secrets), fetching, tokens)
    if found.reception is not None:
        verify = found.reception.verify
        tokens = given(_tokens(found.reception.handshake))
        scheme = build(verify.options)
        return HeldSource(name, found.reception, scheme, given(verify.secrets), found.mistakes, tokens)
    return BrokenSource(name, found.mistakes)


def _tokens(handshakes: Iterable[Handshake]) -> tuple[str, ...]:
    return tuple(entry.token_secret for entry in handshakes if entry.token_secret)


def _secrets(names: tuple[str, ...], environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """The secrets that are set and can be read."""
    found: list[Secret] = []
    for name in names:
        try:
            found += read_secrets((name,), environ)
        except SettingError:
            continue
    return tuple(found)


def _unreadable_settings(found: LiveMapping, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Settings of a source that are there and cannot be read: it goes on without them."""
    if found.used is None or found.is_off:
        return
    fetch = found.used.fetch.settings if found.used.fetch else ()
    for name in (*found.used.verify.secrets, *fetch, *_tokens(found.used.handshake)):
        try:
            read_secrets((name,), environ)
        except SettingError as error:
            yield Problem(
                found.used.verify.place, "verify.secrets", str(error), "make it readable, or unset it"
            )
