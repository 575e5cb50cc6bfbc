"""Where the files are: MAPPINGS_DIR lies over the shipped mappings, folder by folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from integration.core.errors import Problem

FIELDS_FILE = "fields.yaml"
MAPPING_FILE = "mapping.yaml"
FIELDS = "fields"  # what fields.yaml is called where sources are called by their names
SHIPPED = Path(__file__).parents[2] / "mappings"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Stamp = tuple[int, int, int]


class Origin(StrEnum):
    """Whose file it is."""

    SHIPPED = "shipped"
    YOURS = "yours"
    OVER = "yours over shipped"


@dataclass(frozen=True, slots=True)
class File:
    """A file that people edit: the name of the source that it is about, or FIELDS; where it is; what messages
    call it; and whose it is.
    """

    name: str
    path: Path
    shown_as: str
    origin: Origin = Origin.YOURS

    @property
    def stamp(self) -> Stamp | None:
        """What changes whenever the file is written; None if it is not there."""
        return stamp_of(self.path)


@dataclass(frozen=True, slots=True)
class Layers:
    """The folder of the mappings, and the shipped ones beneath it, unless they are the same."""

    yours: Path
    shipped: Path | None = None

    @classmethod
    def of(cls, yours: Path, shipped: Path | None) -> Layers:
        """The two layers; one, where the folder is the shipped one itself or there is none."""
        is_same = shipped is not None and yours.resolve() == shipped.resolve()
        return cls(yours, None if is_same or shipped is None or not shipped.is_dir() else shipped)

    @property
    def is_there(self) -> bool:
        """Whether the folder of the mappings is there and can be read."""
        return can_be_read(self.yours)

    def mappings(self) -> dict[str, File]:
        """The mapping file of each source, by its name; yours in the place of a shipped one."""
        beneath = {folder.name for folder in _folders(self.shipped)} if self.shipped else set()
        found = {}
        for folder in _folders(self.shipped) if self.shipped else ():
            found[folder.name] = _file(folder, shipped_name(folder), Origin.SHIPPED)
        for folder in _folders(self.yours):
            origin = Origin.OVER if folder.name in beneath else Origin.YOURS
            found[folder.name] = _file(folder, self.shown(folder), origin)
        return dict(sorted(found.items()))

    def mapping(self, name: str) -> File:
        """Your mapping file of this name, which need not exist."""
        return _file(self.yours / name, self.shown(self.yours / name), Origin.YOURS)

    @property
    def fields(self) -> File:
        """Your fields.yaml."""
        file = self.yours / FIELDS_FILE
        return File(FIELDS, file, self.shown(file), Origin.OVER if self.shipped else Origin.YOURS)

    @property
    def shipped_fields(self) -> File | None:
        """The shipped fields.yaml, if yours lies over it."""
        file = self.shipped / FIELDS_FILE if self.shipped else None
        return File(FIELDS, file, shipped_name(file), Origin.SHIPPED) if file else None

    def shown(self, file: Path) -> str:
        """What messages call a file of yours: as it is found from here where MAPPINGS_DIR is a relative path,
        else from the last part of that path on, so that stored places do not tell where a deployment lives.
        """
        base = Path(self.yours.name) if self.yours.is_absolute() else self.yours
        return str(base / file.relative_to(self.yours))

    def misnamed(self) -> Iterator[Problem]:
        """Folders whose names cannot be those of sources."""
        for file in sorted(self.yours.glob(f"*/{MAPPING_FILE}")):
            if not is_source_name(file.parent.name):
                cure = "use lower-case letters, digits, - and _: the name is part of the URL"
                if file.parent.name == FIELDS:
                    cure = f"choose another: it stands for {FIELDS_FILE} where sources are named"
                yield Problem(self.shown(file), "", "the folder's name cannot be a source's name", cure)


def is_source_name(name: str) -> bool:
    """Whether a source can be called so."""
    return _NAME.fullmatch(name) is not None and name != FIELDS


def shipped_mappings() -> Path:
    """The folder of the mappings that come with the program."""
    return SHIPPED


def folder_of(name: str, directory: Path) -> Path:
    """The folder of a source: yours, or else the shipped one."""
    yours = directory / name
    return yours if (yours / MAPPING_FILE).is_file() else shipped_mappings() / name


def can_be_read(folder: Path) -> bool:
    """Whether this is a folder whose content can be listed."""
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def stamp_of(file: Path) -> Stamp | None:
    """Time of writing, size and inode of a file; None if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def shipped_name(file: Path) -> str:
    """What messages call a shipped file: its path from here, where it is below, else the whole of it."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def secret_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that hold settings (`NAME_FILE`)."""
    yield from (Path(path) for name, path in environ.items() if name.endswith("_FILE") and path)


def _file(folder: Path, shown_as: str, origin: Origin) -> File:
    return File(folder.name, folder / MAPPING_FILE, os.path.join(shown_as, MAPPING_FILE), origin)


def _folders(directory: Path) -> Iterator[Path]:
    """The folders that hold a mapping file under a name that a source can have."""
    if can_be_read(directory):
        yield from (
            folder
            for folder in sorted(directory.iterdir())
            if is_source_name(folder.name) and stamp_of(folder / MAPPING_FILE) is not None
        )
