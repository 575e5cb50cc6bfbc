"""What is in use at one moment, as values: sources, fields, and what is wrong with the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from integration.config.folders import Origin
from integration.core.errors import Problem
from integration.core.values import MICROS_PER_SECOND, Handshake, Micros, Secret
from integration.lead.catalogue import Catalogue
from integration.mapping import Reception, SourceMapping
from integration.verify import Scheme


@dataclass(frozen=True, slots=True)
class Source:
    """A source that can be used: a mapping without problems, its scheme, and the secrets that are set.

    `fetch_settings` are those of the settings of its `fetch:` that are set, by name; `handshake_secrets`
    those of its handshakes. `unreadable` are settings that are there and cannot be read.
    """

    name: str
    mapping: SourceMapping
    scheme: Scheme
    secrets: tuple[Secret, ...]
    fetch_settings: Mapping[str, Secret] = field(default_factory=dict)
    handshake_secrets: tuple[Secret, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def handshake(self) -> tuple[Handshake, ...]:
        """What is answered without being an event."""
        return self.mapping.handshake

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
class HeldSource:
    """A source of which no version is good, but which says who may send: its requests are verified and
    stored whole, and taken apart once its mapping is good.
    """

    name: str
    reception: Reception
    scheme: Scheme
    secrets: tuple[Secret, ...]
    problems: tuple[Problem, ...]
    handshake_secrets: tuple[Secret, ...] = ()

    @property
    def handshake(self) -> tuple[Handshake, ...]:
        """What is answered without being an event."""
        return self.reception.handshake

    @property
    def missing_secrets(self) -> tuple[str, ...]:
        """As of a Source."""
        return () if self.secrets else self.reception.verify.secrets


@dataclass(frozen=True, slots=True)
class BrokenSource:
    """A source whose mapping file has problems, of which no version is good, and which nobody can verify: it
    is off until they are fixed, the others go on.
    """

    name: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class UnsetSource:
    """A source that cannot receive, as none of its secrets is set: its mapping was not even compiled.

    `missing_secrets` are the names that seem to be those of its secrets.
    """

    name: str
    missing_secrets: tuple[str, ...] = ()


Receiver = Source | HeldSource
AnySource = Source | HeldSource | BrokenSource | UnsetSource


@dataclass(frozen=True, slots=True)
class Mistake:
    """A file that is not used as it is: what is wrong, and what goes on instead.

    `since` is from when the version is that goes on: 0 if nobody knows, None if none does (`is_off`) or the
    file itself does but for its mistakes.
    """

    name: str
    problems: tuple[Problem, ...]
    since: Micros | None = None
    is_off: bool = False

    @property
    def goes_on(self) -> str:
        """What happens meanwhile, in a sentence."""
        if self.is_off:
            return "No version of it is good: its events are not taken apart until it is fixed."
        if self.since is None:
            return "The rest of it is in use."
        if not self.since:
            return "The last good version goes on."
        moment = datetime.fromtimestamp(self.since // MICROS_PER_SECOND, UTC)
        return f"The last good version, of {moment:%Y-%m-%d %H:%M:%S} UTC, goes on."

    def __str__(self) -> str:
        more = f" (and {len(self.problems) - 1} more: run `leadwire check`)" if self.problems[1:] else ""
        return f"{self.problems[0]}{more}. {self.goes_on}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All sources at one moment, and the catalogue of lead fields that they write to.

    `problems` are all there are in the files; `mistakes` those of files that are not used as they are, by
    source or `fields`. `origins` says whose each source is; `off` are those that a file switches off.
    `fields_version` changes with the text of your fields.yaml; "" while that cannot be used.
    """

    catalogue: Catalogue
    sources: Mapping[str, AnySource]
    problems: tuple[Problem, ...]
    mistakes: Mapping[str, Mistake] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    off: tuple[str, ...] = ()
    fields_version: str = ""
