"""The files of a new source: guessed from a recorded payload, or copied from another source."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from integration.authoring.draft import draft, draft_test, key_prefix
from integration.authoring.guess import Guesses, guess
from integration.authoring.new_readme import readme
from integration.authoring.rehearse import rehearse
from integration.body import decode
from integration.config.sources import MAPPING_FILE, Configuration, Source
from integration.core.errors import LeadwireError
from integration.core.values import RawRequest
from integration.files.document import parse
from integration.lead.catalogue import Catalogue
from integration.mapping import load_mapping
from integration.mapping.language import FORM
from integration.verify import build

README_FILE = "README.md"
_LONGEST_FILE_NAME = 60


class NewSourceError(LeadwireError):
    """The folder cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class NewSource:
    """The files of a new source, by path in its folder; `guesses` if they were guessed."""

    name: str
    files: Mapping[str, bytes]
    guesses: Guesses | None = None
    example: str = ""

    @property
    def secrets(self) -> tuple[str, str]:
        """The settings that a guessed source's secret goes into."""
        return secret_names(self.name)


def secret_names(name: str) -> tuple[str, str]:
    """`SHOP_WEBHOOK_SECRET` and the one to change it with."""
    return f"{_prefix(name)}_WEBHOOK_SECRET", f"{_prefix(name)}_WEBHOOK_SECRET_OLD"


def _prefix(name: str) -> str:
    """The beginning of the names of a source's settings: `MY_SHOP` for `my-shop`."""
    prefix = name.upper().replace("-", "_")
    return prefix if prefix[0].isalpha() else f"SOURCE_{prefix}"


# from a payload


def guessed(
    name: str, suffix: str, request: RawRequest, catalogue: Catalogue, max_body_bytes: int
) -> NewSource:
    """The files of a source that sends requests like this one; `suffix` is that of the payload's file.

    Raises MalformedBody if the payload cannot be read.
    """
    payload = decode(request.headers, request.body, max_body_bytes)
    guesses = guess(payload, {field.name: field.type for field in catalogue.fields.values()})
    example = f"examples/{_file_name(guesses.event_type)}{suffix}"
    title = name.replace("-", " ").replace("_", " ").strip().capitalize()
    text = draft(name, title, guesses, secret_names(name))
    test = _test_of(name, {MAPPING_FILE: text.encode(), example: request.body}, example, request, catalogue)
    files = {
        MAPPING_FILE: f"{text}\ntests:\n{test}".encode(),
        README_FILE: readme(name, title, guesses, secret_names(name), example).encode(),
        example: request.body,
    }
    return NewSource(name, files, guesses, example)


def _file_name(event_type: str | None) -> str:
    """A name for the payload's file, after the type of its event."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", event_type or "event")[:_LONGEST_FILE_NAME].strip("._-")
    return text or "event"


def _test_of(
    name: str, files: Mapping[str, bytes], example: str, request: RawRequest, catalogue: Catalogue
) -> str:
    """The test that says what the draft makes of its own example."""
    with tempfile.TemporaryDirectory() as parent:
        write_files(Path(parent) / name, files)
        source = _load(name, Path(parent) / name, catalogue)
    configuration = Configuration(catalogue, {name: source}, ())
    rehearsal = rehearse(configuration, source, request, max_body_bytes=len(request.body), position=0)
    dead = rehearsal.events[0].dead
    if dead:
        return draft_test(f"the recorded payload: {dead.code}", example, {"expect_dead": dead.code})
    return draft_test("the recorded payload", example, {"expect": dict(rehearsal.leads[0].would_send)})


def _load(name: str, folder: Path, catalogue: Catalogue) -> Source:
    mapping = load_mapping(folder / MAPPING_FILE, f"{name}/{MAPPING_FILE}", catalogue.field_problem)
    return Source(name, mapping, build(mapping.verify.options), ())


# like another source


def copied(name: str, source: Source, folder: Path) -> NewSource:
    """The files of `source`, which stand in `folder`, under another name and with settings of its own.

    Raises NewSourceError if one cannot be read.
    """
    files = {str(path): _content(folder / path) for path in _paths(folder)}
    renames = _renamed_settings(name, source)
    text = _renamed_mapping(files[MAPPING_FILE].decode(), name, source)
    files[MAPPING_FILE] = renames(text).encode()
    if README_FILE in files:
        text = _renamed_readme(files[README_FILE].decode(errors="replace"), name, source)
        files[README_FILE] = renames(text).encode()
    return NewSource(name, files)


def _paths(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in path.parts):
            yield path


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NewSourceError(f"{file}: cannot be read: {error.strerror}") from error


def _renamed_settings(name: str, source: Source) -> Callable[[str], str]:
    """Gives each setting that the source names its own name, so that the two share no secret."""
    before, after = _prefix(source.name), _prefix(name)
    others = [secret for secret in source.mapping.verify.secrets if not secret.startswith(f"{before}_")]

    def rename(text: str) -> str:
        text = re.sub(rf"\b{before}_(?=[A-Z0-9_]+\b)", f"{after}_", text)
        for secret in others:
            text = re.sub(rf"\b{secret}\b", f"{after}_{secret}", text)
        return text

    return rename


def _renamed_mapping(text: str, name: str, source: Source) -> str:
    """The mapping with another `source`, `title` and names under `lead.keys`.

    Ids of two systems may be equal without being of one lead, so they must not stand under one name.
    """
    parsed, _ = parse(text.encode(), MAPPING_FILE, FORM)
    lines = text.splitlines(keepends=True)

    def edit(path: tuple[str, ...], pattern: str, new: str) -> None:
        at = parsed.line(path) - 1
        lines[at] = re.sub(pattern, lambda match: f"{match[1]}{new}", lines[at], count=1)

    title = source.mapping.title
    edit(("source",), rf"(source[\"']?\s*:\s*[\"']?){source.name}", name)
    edit(("title",), rf"(title[\"']?\s*:\s*[\"']?){re.escape(title)}", f"{title} ({name})")
    old, new = source.name.replace("-", "_"), key_prefix(name)
    for key in parsed.data["lead"].get("keys", {}):
        edit(("lead", "keys", key), rf"(\b){old}_(?={key.removeprefix(f'{old}_')}[\"']?\s*:)", f"{new}_")
    return "".join(lines)


def _renamed_readme(text: str, name: str, source: Source) -> str:
    text = text.replace(f"/hooks/{source.name}", f"/hooks/{name}")
    text = text.replace(f"mappings/{source.name}/", f"mappings/{name}/")
    text = re.sub(rf"(leadwire (?:[a-z]+) ){re.escape(source.name)}\b", rf"\g<1>{name}", text)
    return re.sub(r"\A(# .*)", rf"\g<1> ({name})", text)


# files


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a new folder. Raises OSError."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def put(directory: Path, new: NewSource) -> Path:
    """Put the folder into `directory`, whole or not at all; raises NewSourceError if there is one already."""
    target = directory / new.name
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as parent:
            made = Path(parent) / new.name
            write_files(made, new.files)
            made.rename(target)
    except OSError as error:
        raise NewSourceError(f"{target}: cannot be made: {error.strerror}") from error
    return target
