"""What every signature scheme is made of, and what they share: refusals, secrets, bytes of headers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integration.core.errors import LeadwireError
from integration.core.values import Micros, RawRequest, Secret, Verdict

HEADER_LIMIT = 2048  # characters of one header that a scheme reads; dozens of signatures fit


def challenge_for(auth_scheme: str) -> str:
    """The value of `WWW-Authenticate` that asks for credentials of this kind."""
    return f'{auth_scheme} realm="leadwire"'


@dataclass(frozen=True, slots=True)
class Scheme:
    """One source's scheme with its options settled. All functions are pure and none raises for any request.

    `verify(request, secrets, now)` judges a request, live or redacted. A request that was stored is
    judged at the time it came: give its `received_at` as `now`.
    `sign(request, secret, now)` is the same request with the credentials that the sender would add;
    raises ValueError, which names the setting, if the secret cannot be used.
    `conceal(request)` replaces the plain shared secrets that this scheme reads by their digests.
    `headers` (lower case) and `parameters` are what it reads; `signs_url` tells that the URL is signed
    and must therefore be kept as it is.
    `certificate_url(request)`, of a scheme whose sender signs with a certificate that it publishes, is where
    the one of this request is: `verify` wants what is there as `request.certificate`. It raises
    NotVerifiedError if the request names no certificate of the sender's own hosts.
    `challenge` is what the sender of a request that is not genuine is asked for (`WWW-Authenticate`), for
    every reason the same. The default says only that it is a signature: no registered name fits one of the
    sender's own.
    """

    name: str
    verify: Callable[[RawRequest, Sequence[Secret], Micros], Verdict]
    sign: Callable[[RawRequest, Secret, Micros], RawRequest]
    conceal: Callable[[RawRequest], RawRequest]
    headers: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    signs_url: bool = False
    certificate_url: Callable[[RawRequest], str] | None = None
    challenge: str = challenge_for("Signature")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Options that are valid one by one and do not fit together: the path of the one to change, what is
    wrong, and what to write instead.
    """

    path: tuple[str, ...]
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message} ({self.cure})"


def _no_contradictions(_: Mapping[str, Any]) -> Iterator[Contradiction]:
    yield from ()


@dataclass(frozen=True, slots=True)
class SchemeType:
    """A kind of scheme: its name in mapping files, its options as JSON Schema, and how to build it.

    `contradictions` gets options that are valid by the schema, and tells all that do not fit together;
    `build` gets options that have none.
    """

    name: str
    options: Mapping[str, Any]
    build: Callable[[Mapping[str, Any]], Scheme]
    contradictions: Callable[[Mapping[str, Any]], Iterator[Contradiction]] = _no_contradictions


class NotVerifiedError(LeadwireError):
    """Carries the reason (a stable word) and its detail from where it is found to the verdict."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.verdict = Verdict(reason, detail)


def object_schema(description: str, properties: Mapping[str, Any], required: Sequence[str] = ()) -> Any:
    """The JSON Schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def usable_keys(
    secrets: Sequence[Secret], key_of: Callable[[Secret], bytes]
) -> tuple[list[tuple[Secret, bytes]], list[str]]:
    """The secrets that can verify something, with their keys, and what is wrong with the others.

    `key_of` raises ValueError for a secret that cannot be used. Raises NotVerifiedError if none is left.
    """
    keys, problems = [], []
    for secret in secrets:
        try:
            keys.append((secret, key_of(secret)))
        except ValueError as error:
            problems.append(str(error))
    if not keys:
        detail = " ".join(problems) or "No secret of this source is set: set one that its mapping names."
        raise NotVerifiedError("no_secret", detail)
    return keys, problems


def text_key(secret: Secret) -> bytes:
    """The secret's own bytes; raises ValueError if it is blank, which must never verify anything."""
    if not secret.value.strip():
        raise ValueError(f"{secret.name} is blank: set it to the secret that the sender shows.")
    return secret.value.encode("utf-8", "surrogatepass")


def names_of(secrets: Iterable[Secret]) -> str:
    """The names of settings for a sentence."""
    return ", ".join(secret.name for secret in secrets)


def header_bytes(text: str) -> bytes:
    """The bytes that a header or URL had on the wire: WSGI hands them over as Latin-1 (PEP 3333)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def read_header(request: RawRequest, name: str) -> str:
    """A header that the scheme needs; raises NotVerifiedError if it is missing or absurdly long."""
    value = request.headers.get(name.lower())
    if value is None:
        raise NotVerifiedError(
            "missing_header",
            f"The request has no {name} header. Check that the sender is set up to send it, that a proxy"
            " in front of us does not remove it, and that the mapping's verify block fits this sender.",
        )
    if len(value) > HEADER_LIMIT:
        raise NotVerifiedError(
            "malformed_header", f"The {name} header is longer than {HEADER_LIMIT} characters."
        )
    return value


def base64_bytes(text: str) -> bytes:
    """Decode base64 with or without padding; raises ValueError for anything else."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
