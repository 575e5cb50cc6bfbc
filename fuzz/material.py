"""What the targets work on and begin with: shipped sources, and their examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from integration.config.sources import Configuration, Source, load_configuration
from integration.core.values import MICROS_PER_SECOND
from tests.made_up import made_up_secret

ROOT = Path(__file__).parents[1]
MAPPINGS = ROOT / "mappings"
NOW = 1_795_449_600 * MICROS_PER_SECOND  # 2026-11-23T16:00:00Z
LIMIT = 64 * 1024  # bytes of a body: larger than inputs get, small enough for compressed ones to pass it
CONTENT_TYPES = {
    ".json": "application/json",
    ".form": "application/x-www-form-urlencoded",
    ".xml": "text/xml; charset=UTF-8",
}


@cache
def configuration() -> Configuration:
    """All shipped sources, each with a secret."""
    return load_configuration(MAPPINGS, secrets())


@cache
def secrets() -> Mapping[str, str]:
    """A secret for each shipped source, and the tokens of handshakes, by the names of their settings."""
    bare = load_configuration(MAPPINGS, {})
    sources = [source for source in bare.sources.values() if isinstance(source, Source)]
    return {name: value for source in sources for name, value in _set(source)}


def _set(source: Source) -> Iterator[tuple[str, str]]:
    for name in source.mapping.verify.secrets[:1]:
        yield name, made_up_secret(source)
    for entry in source.mapping.handshake:
        if entry.token:
            yield entry.token.secret, f"token-of-{source.name}"


def source(name: str) -> Source:
    """The shipped source of this name."""
    found = configuration().sources[name]
    assert isinstance(found, Source), found
    return found


def source_names() -> list[str]:
    """The names of all shipped sources."""
    return sorted(configuration().sources)


def examples() -> Iterator[tuple[str, str, bytes]]:
    """Source, content type and body of each example, answers of sources' APIs among them."""
    for file in sorted(MAPPINGS.glob("*/examples/**/*")):
        if file.suffix in CONTENT_TYPES:
            yield file.relative_to(MAPPINGS).parts[0], CONTENT_TYPES[file.suffix], file.read_bytes()
