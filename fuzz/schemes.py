"""Target `verify`: every shipped mapping's scheme, and every scheme type with options that nobody ships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from fuzz import material
from fuzz.message import Message, chosen, read, write
from integration.core.values import MAIN_ACCOUNT, RawRequest, Secret
from integration.verify import Scheme, build, redact
from integration.verify.scheme import NotVerifiedError
from tests import paypal
from tests.vectors import VECTORS, options_of, read_vector, request_of, secret_of

_TIMED = "{id}.{timestamp}.{url_hubspot}.{form}"
ODD: Mapping[str, tuple[dict[str, Any], str]] = {
    "odd-form": ({"scheme": "hmac", "header": "X-S", "template": "{url}{form}", "encoding": "base64"}, "key"),
    "odd-iso": (
        {
            "scheme": "hmac",
            "header": "X-S",
            "id_header": "X-I",
            "timestamp": {"header": "X-T", "unit": "iso"},
            "template": _TIMED,
            "algorithm": "sha512",
            "key_encoding": "base64",
            "key_prefix": "whsec_",
            "tolerance": 604_800,
        },
        "whsec_bWFkZSB1cA",
    ),
    "odd-last": (
        {
            "scheme": "hmac",
            "header": "X-S",
            "list": {"separator": "=", "timestamp_position": "last"},
            "template": "{timestamp}{body}",
            "prefix": "v0=",
            "prefix_optional": True,
            "algorithm": "md5",
        },
        "key",
    ),
    "odd-hash": (
        {"scheme": "hmac", "header": "X-S", "kind": "hash", "template": "{secret}{method}{body}"},
        "0f" * 20,
    ),
    "odd-body-token": ({"scheme": "token", "body": "token"}, "made up"),
    "odd-query-token": ({"scheme": "token", "query": "k\u00e9y"}, "m\u00e4de up+%20"),
    "odd-header-token": ({"scheme": "token", "header": "X-T", "prefix": "Token "}, "\u00e9\u00e8"),
    "odd-basic": ({"scheme": "basic"}, "us\u00e9r:p:\u20ac"),
    "odd-salesforce": ({"scheme": "salesforce", "query": "t"}, "00D5Y000001MPM7:made up"),
    "odd-paypal": ({"scheme": "paypal", "certificate_hosts": ["localhost:8443", ".example.com"]}, "WH-1"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judge:
    """A scheme with secrets that it can use."""

    scheme: Scheme
    secrets: tuple[Secret, ...]


@cache
def judges() -> Mapping[str, Judge]:
    """By name: shipped sources, schemes of recorded requests, and odd ones."""
    shipped = {name: material.source(name) for name in material.source_names()}
    found = {name: Judge(source.scheme, source.secrets) for name, source in shipped.items()}
    for file in VECTORS:
        vector = read_vector(file)
        found[f"{file.parent.name}/{file.stem}"] = Judge(build(options_of(vector)), (secret_of(vector),))
    for name, (options, secret) in ODD.items():
        found[name] = Judge(build(options), (Secret("BLANK", " "), Secret("THE_SECRET", secret)))
    return found


def run(data: bytes) -> None:
    """A verdict in words, the same for the request as it is stored; of signed requests too."""
    message = read(data)
    judge = judges()[chosen(message.word(0), list(judges()))]
    request = _request(message)
    _check(judge, request)
    for secret in judge.secrets[-1:]:
        try:
            signed = judge.scheme.sign(request, secret, material.NOW)
        except ValueError:
            continue  # a key that only the sender has, or a body that has no place for the signature
        _check(judge, signed)


def _request(message: Message) -> RawRequest:
    query = message.word(2)
    url = f"https://hooks.example.com{message.word(1)}{'?' if query else ''}{query}"
    return RawRequest(MAIN_ACCOUNT, "acme", "POST", url, query, message.headers, message.body, material.NOW)


def _check(judge: Judge, request: RawRequest) -> None:
    scheme = judge.scheme
    if scheme.certificate_url is not None:
        try:
            address = scheme.certificate_url(request)  # whether it may be called is judged by who calls
            assert address.isascii(), address
            assert address.isprintable(), address
        except NotVerifiedError as error:
            assert error.verdict.reason  # noqa: PT017 - any other exception is a finding
        request = replace(request, certificate=paypal.certificate())
    verdict = scheme.verify(request, judge.secrets, material.NOW)
    if verdict.reason is not None:
        assert verdict.reason.isidentifier(), verdict.reason
        assert verdict.detail, verdict
        assert verdict.detail.isprintable(), verdict.detail
    stored = redact(scheme, request)
    again = scheme.verify(stored, judge.secrets, material.NOW)
    assert (again.reason, again.secret_name) == (verdict.reason, verdict.secret_name), (verdict, again)
    assert redact(scheme, stored) == stored
    for text in (stored.url, stored.query, *stored.headers, *stored.headers.values()):
        text.encode()


def seeds() -> Iterator[bytes]:
    """The recorded requests, and an example for each source, signed."""
    for file in VECTORS:
        vector = read_vector(file)
        request = request_of(vector, file.parent)
        name = f"{file.parent.name}/{file.stem}"
        yield write([name, "/in/x", request.query], request.headers, request.body)
    for name, kind, body in {name: (name, kind, body) for name, kind, body in material.examples()}.values():
        judge = judges()[name]
        request = _request(Message([name, "/hooks"], {"content-type": kind}, body))
        if judge.scheme.certificate_url is not None:
            signed = paypal.signed(request, judge.secrets[0].value)
        else:
            signed = judge.scheme.sign(request, judge.secrets[0], material.NOW)
        yield write([name, "/hooks", signed.query], signed.headers, signed.body)
    for name in ODD:
        yield write(
            [name, "/hooks", "a=b"], {"x-s": "v0=aa=1", "x-t": "2026-11-23T16:00:00Z", "x-i": "1"}, b"a=b"
        )
