"""The version of a request that may be stored: no credentials, no noise, bounded headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from integration.core.bounds import storable
from integration.core.values import RawRequest
from integration.verify.query import replace_values
from integration.verify.scheme import HEADER_LIMIT, Scheme, header_bytes
from integration.verify.shared_secret import digest

HEADERS_LIMIT = 8192
_CONTENT = frozenset({"content-type", "content-encoding"})  # without them the body cannot be read again
_NOISE = re.compile(
    r"host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-length|forwarded|via"
    r"|cookie2?|set-cookie|(accept|x-forwarded|proxy)(-.*)?"
)
_CREDENTIAL = re.compile(
    r"authori[sz]ation|authentication|token|secret|passw|passphrase|api-?key|cookie|credential"
)


def redact(scheme: Scheme, request: RawRequest) -> RawRequest:
    """The request as it may be stored; `scheme.verify` gives the same verdict for it as for the live one.

    Signatures stay as they are. Shared secrets that the scheme reads become `sha256:<hex>`; other
    headers that look like a credential are dropped, other parameters of the URL that do become digests
    (unless the scheme signs the URL). Headers hold at most HEADERS_LIMIT characters.
    """
    if request.redacted:
        return request
    safe = _without_stray_credentials(scheme, scheme.conceal(request))
    kept = {name: value for name, value in safe.headers.items() if _is_kept(scheme, name)}
    own = {name: value[: HEADER_LIMIT + 1] for name, value in kept.items() if name in scheme.headers}
    return replace(
        safe,
        url=storable(safe.url),
        query=storable(safe.query),
        headers={
            name: storable(value) for name, value in _bounded({**kept, **own}, scheme.headers | _CONTENT)
        },
        redacted=True,
    )


def _is_kept(scheme: Scheme, name: str) -> bool:
    return name in scheme.headers or _is_harmless(name)


@lru_cache(maxsize=1024)  # senders use the same few names again and again
def _is_harmless(name: str) -> bool:
    return not _NOISE.fullmatch(name) and not _looks_secret(name)


def _looks_secret(name: str) -> bool:
    return bool(_CREDENTIAL.search(name.lower().replace("_", "-")))


def _without_stray_credentials(scheme: Scheme, request: RawRequest) -> RawRequest:
    if scheme.signs_url or not request.url.partition("?")[2] + request.query:
        return request
    return replace_values(
        request,
        lambda name: _looks_secret(name) and name not in scheme.parameters,
        lambda value: digest(unquote_to_bytes(header_bytes(value))),
    )


def _bounded(headers: Mapping[str, str], needed: frozenset[str]) -> Iterable[tuple[str, str]]:
    """As many headers as fit, the needed ones and the small ones first; in their order."""
    if sum(map(len, headers)) + sum(map(len, headers.values())) <= HEADERS_LIMIT:
        return headers.items()
    room, fitting = HEADERS_LIMIT, set()
    for name in sorted(headers, key=lambda name: (name not in needed, len(name) + len(headers[name]))):
        room -= len(name) + len(headers[name])
        if room < 0:
            break
        fitting.add(name)
    return [(name, value) for name, value in headers.items() if name in fitting]
