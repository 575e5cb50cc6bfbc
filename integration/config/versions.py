"""Texts of files that were good: what goes on while a file has a mistake. Kept elsewhere, given as values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from integration.core.values import Micros


@dataclass(frozen=True, slots=True)
class Version:
    """The text of a mapping file, or of fields.yaml, that was good. `name` is the source's, or `fields`;
    `since` is when it was taken into use, 0 where nobody knows.
    """

    name: str
    text: str
    since: Micros = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return digest_of(self.text.encode("utf-8", "surrogatepass"))


def digest_of(content: bytes) -> str:
    """SHA-256 of a file's content, in hex."""
    return sha256(content).hexdigest()


class Versions(Protocol):
    """Who keeps good versions. None of its functions raises: what cannot be had is not there."""

    def names(self) -> Collection[str]:
        """Of which names there are versions."""

    def of(self, name: str) -> Sequence[Version]:
        """The versions of this name, the newest first."""


class GivenVersions:
    """Versions that are at hand: by name, the newest first."""

    def __init__(self, given: Mapping[str, Sequence[Version]]) -> None:
        self._given = given

    def names(self) -> Collection[str]:
        """See `Versions`."""
        return self._given.keys()

    def of(self, name: str) -> Sequence[Version]:
        """See `Versions`."""
        return self._given.get(name, ())


NO_VERSIONS = GivenVersions({})
