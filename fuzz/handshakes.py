"""Target `handshake`: the answers of every mapping that has handshakes, and of all kinds of them at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from fuzz import material
from fuzz.message import chosen, read, write
from integration.body import MalformedBody, decode
from integration.core.values import (
    MAIN_ACCOUNT,
    ByBody,
    ByEmptyBody,
    ByHeader,
    ByQuery,
    Handshake,
    RawRequest,
    Secret,
    UrlToken,
)
from integration.verify.handshake import LONGEST_VALUE, answer

_JSON = "application/json"
KINDS = (
    Handshake(ByQuery("challenge"), token=UrlToken("token", "TOKEN"), reply="{value}"),
    Handshake(ByQuery("hub.challenge"), method="GET", reply="{value}"),
    Handshake(
        ByBody("a.b"),
        when={"type": "url_verification"},
        reply='{"a": "{value}", "b": "{hmac}"}',
        content_type=_JSON,
    ),
    Handshake(ByHeader("X-Hook-Secret"), reply_header="X-Hook-Secret"),
    Handshake(ByQuery("bt_challenge"), reply="{braintree}"),
    Handshake(ByEmptyBody()),
)
_SECRETS = (Secret("SECRET", "public_key:private_key"),)
_TOKENS = (Secret("TOKEN", "made-up-token"),)


def run(data: bytes) -> None:
    """An answer that can be sent and says no secret, a refusal without a text, or none."""
    message = read(data)
    names = ["kinds", *(name for name in material.source_names() if material.source(name).mapping.handshake)]
    name = chosen(message.word(0), names)
    query = message.word(2)
    url = f"https://hooks.example.com/hooks/x?{query}"
    request = RawRequest(
        MAIN_ACCOUNT, "x", message.word(1), url, query, message.headers, message.body, material.NOW
    )
    if name == "kinds":
        _check(KINDS, request, _payload(request), _SECRETS, _TOKENS)
        return
    source = material.source(name)
    entries = source.mapping.handshake
    _check(entries, request, _payload(request), source.secrets, source.handshake_secrets)
    for entry in entries:
        _check((replace(entry, method=request.method),), request, _payload(request), source.secrets, ())


def _payload(request: RawRequest) -> object:
    try:
        return decode(request.headers, request.body, material.LIMIT)
    except MalformedBody:
        return None


def _check(
    entries: tuple[Handshake, ...], request: RawRequest, payload: object, secrets: tuple[Secret, ...],
    tokens: tuple[Secret, ...],
) -> None:  # fmt: skip
    reply = answer(entries, request, payload, secrets, tokens)
    if reply is None:
        return
    if reply.refused:
        assert not reply.text, reply
        return
    reply.text.encode()
    if reply.content_type == _JSON and reply.text:
        json.loads(reply.text)
    given = request.query + request.body.decode("latin-1") + "".join(request.headers.values())
    for value in reply.headers.values():
        assert value.isascii(), value
        assert value.isprintable(), value
        assert len(value) <= LONGEST_VALUE
    for secret in (*secrets, *tokens):
        assert secret.value not in reply.text or secret.value in given, "a secret is told"


def seeds() -> Iterator[bytes]:
    """One request of each kind, for each source."""
    headers = {"content-type": _JSON, "x-hook-secret": "abc", "x-hook-challenge": "abc"}
    body = b'{"type": "url_verification", "challenge": "abc", "a": {"b": "x\\u00e9"}}'
    query = "challenge=abc&hub.challenge=1%C3%A9&token=made-up-token&bt_challenge=20f38a97bd9be9b6ae7a"
    for name in ["kinds", *material.source_names()]:
        for method in ("GET", "POST"):
            yield write([name, method, query], headers, body)
            yield write([name, method, ""], headers, b"")
