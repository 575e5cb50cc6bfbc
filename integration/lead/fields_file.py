"""`mappings/fields.yaml`: the custom fields of an account, and what its HubSpot account has.

```yaml
version: 1
fields:
  plan: {type: text, label: Plan}
  lastPayment: {type: decimal}
```

Entries stand alone: a mistake in one costs that one, and one file can be laid over another entry by entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.core.errors import LeadwireError, Problem
from integration.files import document
from integration.files.positions import Key, Spot, in_order
from integration.files.wording import Language
from integration.lead.catalogue import (
    LEAD_FIELD_NAMES,
    NEVER_SENT_REASONS,
    Catalogue,
    ContactNames,
    Field,
    PortalProperty,
)

FORM = document.Format(
    "`version: 1` and `fields: {}`",
    largest=8 * 1024 * 1024,  # `portal:` holds every option of every property of an account
    most_nodes=1_000_000,
    split="remove what is not used any more",
)
LANGUAGE = Language(json.loads(Path(__file__).with_name("fields.schema.json").read_text(encoding="utf-8")))

Entry = tuple[str, ...]
Value = Field | PortalProperty | str
_FIELDS: Entry = ("fields",)
_PORTAL: Entry = ("portal",)
_PROPERTIES: Entry = ("contacts", "properties")
_UNIQUE: Entry = ("contacts", "unique")
_SECTIONS = (_FIELDS, _PORTAL, _PROPERTIES, _UNIQUE)


class CatalogueError(LeadwireError):
    """`mappings/fields.yaml` cannot be used as it is; `problems` lists everything wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class FieldsFile:
    """What a fields.yaml says: its good `entries` by their path, as ("fields", "plan"); where the `broken`
    ones stand; and all problems. `is_usable` is false where the file as a whole cannot be read.
    """

    entries: Mapping[Entry, Value] = field(default_factory=dict)
    broken: Mapping[Entry, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    is_usable: bool = True


def read_fields(content: bytes, shown_as: str) -> FieldsFile:
    """Read the text of a fields.yaml; never raises. `shown_as` is what messages call the file."""
    try:
        parsed, found = document.parse(content, shown_as, FORM)
    except document.UnreadableError as error:
        return FieldsFile(problems=(error.problem,), is_usable=False)
    problems = [problem for _, problem in found]
    root = Spot(shown_as, parsed.line, problems)
    wrong = {path for path, _ in found} | _misfits(parsed.data, root) | _taken(parsed.data, root)
    ordered = in_order(problems)
    if not isinstance(parsed.data, dict) or wrong & {(), ("version",), _FIELDS}:
        return FieldsFile(problems=ordered, is_usable=False)
    broken = {entry: root.at(entry).place for path in wrong if (entry := _entry_of(path))}
    entries = dict(_entries(parsed.data, wrong, broken))
    return FieldsFile(entries, broken, ordered)


def _misfits(data: Any, root: Spot) -> set[tuple[Key, ...]]:
    paths = set()
    for misfit in LANGUAGE.misfits(data):
        root.at(misfit.path).report(misfit.message, misfit.cure)
        paths.add(misfit.path)
    return paths


def _taken(data: Any, root: Spot) -> set[tuple[Key, ...]]:
    """Fields that are declared although every lead has them, or nobody may set them."""
    declared = data.get("fields") if isinstance(data, dict) else None
    paths = set()
    for name in declared if isinstance(declared, dict) else ():
        spot = root / "fields" / name
        if name in NEVER_SENT_REASONS:
            spot.report(f"{name} cannot be set: {NEVER_SENT_REASONS[name]}", "remove it here")
        elif name in LEAD_FIELD_NAMES:
            spot.report(f"{name} is a field of every lead", "remove it here")
        else:
            continue
        paths.add(spot.path)
    return paths


def _entry_of(path: tuple[Key, ...]) -> Entry | None:
    """The entry that a path is in; None where it is not a part of one."""
    for section in _SECTIONS:
        if path[: len(section)] == section and len(path) > len(section):
            return tuple(str(key) for key in path[: len(section) + 1])
    return None


def _entries(
    data: dict[str, Any], wrong: set[tuple[Key, ...]], broken: Mapping[Entry, str]
) -> Iterator[tuple[Entry, Value]]:
    for section in _SECTIONS:
        node: Any = data
        for depth, key in enumerate(section):
            node = {} if section[: depth + 1] in wrong else node.get(key, {})
        for name, spec in node.items():
            if (*section, name) not in broken:
                yield (*section, name), _value(section, name, spec)


def _value(section: Entry, name: str, spec: Any) -> Value:
    if section == _FIELDS:
        return Field(name, spec["type"], spec.get("label", name), custom=True)
    if section == _PORTAL:
        options = tuple(str(option) for option in spec.get("options", ()))
        flags = bool(spec.get("read_only")), bool(spec.get("external_options"))
        return PortalProperty(name, spec["type"], options, *flags)
    return str(spec)


def laid_over(upper: FieldsFile, lower: FieldsFile) -> FieldsFile:
    """Both files as one, entry by entry; what both say, `upper` says. A mistake above hides what is below."""
    below = {entry: value for entry, value in lower.entries.items() if entry not in upper.broken}
    broken = {entry: place for entry, place in lower.broken.items() if entry not in upper.entries}
    return FieldsFile(
        {**below, **upper.entries},
        {**broken, **upper.broken},
        (*lower.problems, *upper.problems),
        upper.is_usable and lower.is_usable,
    )


def repaired(current: FieldsFile, before: FieldsFile) -> FieldsFile:
    """`current` with what went wrong in it as it was `before`, and with the fields that it lost: what stands
    in mapping files that were good then stays usable.
    """
    lost = {
        entry: value
        for entry, value in before.entries.items()
        if entry not in current.entries and (entry in current.broken or entry[:1] == _FIELDS)
    }
    return FieldsFile({**lost, **current.entries}, {}, current.problems, current.is_usable)


def catalogue_of(file: FieldsFile) -> Catalogue:
    """The catalogue with what the file says."""
    portal = _named(file, _PORTAL)
    custom = [value for value in _named(file, _FIELDS).values() if isinstance(value, Field)]
    names = ContactNames(_texts(file, _PROPERTIES), _texts(file, _UNIQUE))
    broken = {entry[-1]: place for entry, place in file.broken.items() if entry[:1] == _FIELDS}
    known = {name: value for name, value in portal.items() if isinstance(value, PortalProperty)}
    return Catalogue(custom, names, known, broken)


def _named(file: FieldsFile, section: Entry) -> dict[str, Value]:
    return {entry[-1]: value for entry, value in file.entries.items() if entry[:-1] == section}


def _texts(file: FieldsFile, section: Entry) -> dict[str, str]:
    return {name: str(value) for name, value in _named(file, section).items()}


def load_catalogue(file: Path | None, shown_as: str) -> Catalogue:
    """The catalogue with what `file` says; with nothing of anybody's own if it is None or does not exist.

    Raises CatalogueError, which lists all problems, if there are any.
    """
    if file is None or not file.exists():
        return Catalogue()
    try:
        found = read_fields(file.read_bytes(), shown_as)
    except OSError as error:
        problem = Problem(shown_as, "", f"cannot be read: {error.strerror}", "check that it is there")
        raise CatalogueError((problem,)) from error
    if found.problems:
        raise CatalogueError(found.problems)
    return catalogue_of(found)
