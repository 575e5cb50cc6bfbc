"""The targets by name. A target is a function of bytes that raises where the law is broken, and its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fuzz import bodies, handshakes, requests, schemes, translations


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes one input; it raises AssertionError, or what the code under test raises: a finding."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


TARGETS: Mapping[str, Target] = {
    "body": Target(bodies.run, bodies.seeds),
    "verify": Target(schemes.run, schemes.seeds),
    "handshake": Target(handshakes.run, handshakes.seeds),
    "mapping": Target(translations.run, translations.seeds),
    "request": Target(requests.run, requests.seeds),
}
