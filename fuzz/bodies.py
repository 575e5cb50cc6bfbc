"""Target `body`: `integration.body.decode` of JSON, forms and XML, plain, compressed and wrapped."""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode

from fuzz import material
from fuzz.message import Message, chosen, read, write
from integration.body import MalformedBody, decode
from integration.core.values import BodyField
from integration.mapping.source_mapping import digest

_FORM = "application/x-www-form-urlencoded"
_STATUSES = {400, 413, 415}


def _bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _field(body: bytes) -> bytes:
    return urlencode({"bt_payload": body}).encode()


# What a sender may do to a body. Done here, after the mutation, so that checksums are right and what is
# inside is reached; broken compression is reached by `plain` with a Content-Encoding.
PACKED: Mapping[str, tuple[Callable[[bytes], bytes], Mapping[str, str], str]] = {
    "plain": (bytes, {}, ""),
    "gzip": (gzip.compress, {"content-encoding": "gzip"}, ""),
    "deflate": (zlib.compress, {"content-encoding": "deflate"}, ""),
    "bare": (_bare, {"content-encoding": "deflate"}, ""),
    "text": (_field, {"content-type": _FORM}, "text"),
    "base64": (lambda body: _field(b64encode(body)), {"content-type": _FORM}, "base64"),
    "unwrap": (bytes, {"content-type": _FORM}, "base64"),
}


def run(data: bytes) -> None:
    """A payload that can be stored and told apart, or a refusal in words; the same each time."""
    message = read(data)
    first, second = _outcome(message), _outcome(message)
    assert first == second, (first, second)


def _outcome(message: Message) -> object:
    pack, headers, encoding = PACKED[chosen(message.word(0), list(PACKED))]
    kind = message.headers.get("content-type", "application/json")
    wrapped = BodyField("bt_payload", encoding, kind) if encoding else None
    try:
        payload = decode({**message.headers, **headers}, pack(message.body), material.LIMIT, wrapped)
    except MalformedBody as error:
        return _checked(error)
    assert isinstance(payload, dict | list), type(payload)
    json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    return digest(payload)


def _checked(error: MalformedBody) -> tuple[int, str, str]:
    assert error.status in _STATUSES, error.status
    assert error.code.isidentifier(), error.code
    assert error.detail.isprintable(), error.detail
    assert len(error.detail) < 500, error.detail
    error.detail.encode()
    return error.status, error.code, error.detail


def seeds() -> Iterator[bytes]:
    """Each example plain, and in turn packed in each of the other ways."""
    ways = list(PACKED)
    for position, (_, kind, body) in enumerate(material.examples()):
        yield write(["plain"], {"content-type": kind}, body)
        yield write([ways[position % len(ways)]], {"content-type": kind}, body)
    yield write(
        ["plain"], {"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(b"[1]")
    )
    yield write(["plain"], {"content-type": "application/json", "content-encoding": "deflate"}, _bare(b"[1]"))
    yield write(["plain"], {"content-type": _FORM}, b"a[][x]=1&a[][y]=2&a[][x]=3&b[c][]=%C3%A9&d=+&e")
    yield write(
        ["plain"], {"content-type": "application/problem+json"}, b'["\\ud83d\\ude00", 1E400, -0.0, 1e5, null]'
    )
