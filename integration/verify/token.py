"""A shared token in a header (bearer by default), in the query of the URL, or in a field of the body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify.query import drop_parameter, read_parameter, replace_values
from integration.verify.scheme import (
    Contradiction,
    NotVerifiedError,
    Scheme,
    SchemeType,
    challenge_for,
    header_bytes,
    object_schema,
    text_key,
)
from integration.verify.shared_secret import HIDDEN, digest, judge, stored_digest, wire_forms

OPTIONS = object_schema(
    "A shared token. Without options it is expected as `Authorization: Bearer <token>`.",
    {
        "header": {
            "type": "string",
            "minLength": 1,
            "description": "The header that carries the token, as X-Gitlab-Token. Default: Authorization.",
        },
        "prefix": {
            "type": "string",
            "description": "What stands before the token in the header, in any case. Default: `Bearer ` in"
            " Authorization, nothing in other headers.",
        },
        "query": {
            "type": "string",
            "minLength": 1,
            "description": "The parameter of the URL that carries the token, as key in ?key=...; instead of"
            " a header. URLs end up in logs: prefer a header where the sender can set one.",
        },
        "body": {
            "type": "string",
            "minLength": 1,
            "description": "The key of a JSON body that carries the token, as Zoho CRM echoes the one that it"
            " was given; instead of a header.",
        },
    },
)
_ELSEWHERE = challenge_for("Token")  # no registered scheme of authentication has its token there
_AUTH_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, as RFC 9110 calls it
_judge = partial(judge, key_of=text_key, mismatch="The token matches none of")


def build(options: Mapping[str, Any]) -> Scheme:
    """See OPTIONS; `query` and `body` stand alone."""
    if "query" in options:
        return _in_query(options["query"])
    if "body" in options:
        return _in_body(options["body"])
    header = options.get("header", "Authorization")
    default = "Bearer " if header.lower() == "authorization" else ""
    return _in_header(header, options.get("prefix", default))


def contradictions(options: Mapping[str, Any]) -> Iterator[Contradiction]:
    """`query` and `body` exclude all others."""
    place = next((place for place in ("query", "body") if place in options), None)
    if place is not None and len(options) > 1:
        others = " and ".join(f"`{name}`" for name in options if name != place)
        message = f"the token is in a header, in the query or in the body, and {others} says another place"
        yield Contradiction((place,), message, "keep one")


def _in_header(header: str, prefix: str) -> Scheme:
    name = header.lower()
    presented = partial(_presented_in_header, header, prefix)

    def verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
        return _judge(request, secrets, presented=presented, forms=wire_forms)

    def sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
        value = f"{prefix}{text_key(secret).decode('latin-1')}"
        return replace(request, headers={**request.headers, name: value})

    def conceal(request: RawRequest) -> RawRequest:
        if name not in request.headers:
            return request
        try:
            hidden = f"{prefix}{presented(request)}"
        except NotVerifiedError:
            hidden = HIDDEN
        return replace(request, headers={**request.headers, name: hidden})

    asks = _challenge(name, prefix)
    return Scheme("token", verify, sign, conceal, headers=frozenset({name}), challenge=asks)


def _challenge(name: str, prefix: str) -> str:
    kind = prefix.strip()
    is_standard = name == "authorization" and _AUTH_SCHEME.fullmatch(kind)
    return challenge_for(kind) if is_standard else _ELSEWHERE


def _presented_in_header(header: str, prefix: str, request: RawRequest) -> str:
    value = request.headers.get(header.lower())
    if value is None:
        raise NotVerifiedError(
            "missing_header",
            f"The request has no {header} header: set the token at the sender, and check that a proxy in"
            " front of us does not remove the header.",
        )
    token = value[len(prefix) :].strip(" ")
    if value[: len(prefix)].lower() == prefix.lower() and token:
        found = stored_digest(token) if request.redacted else digest(header_bytes(token))
        if found:
            return found
    expected = f"`{prefix}` and the token" if prefix else "the token"
    raise NotVerifiedError("malformed_header", f"The {header} header is not {expected}.")


def _in_query(name: str) -> Scheme:
    presented = partial(_presented_in_query, name)

    def verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
        return _judge(request, secrets, presented=presented, forms=_query_forms)

    def sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
        pair = f"{quote(name, safe='')}={quote(text_key(secret), safe='')}"
        base, *others = drop_parameter(request.url, name).split("?", 1)
        query = "&".join([*others, pair])
        return replace(request, url=f"{base}?{query}", query=query)

    def conceal(request: RawRequest) -> RawRequest:
        if request.redacted:
            return request
        return replace_values(request, {name}.__contains__, _concealed)

    return Scheme("token", verify, sign, conceal, parameters=frozenset({name}), challenge=_ELSEWHERE)


def _presented_in_query(name: str, request: RawRequest) -> str:
    value = read_parameter(request.query, name)
    if value is None:
        raise NotVerifiedError(
            "missing_header",
            f"The URL has no parameter {name}: give the sender the URL with ?{name}=<token> at its end.",
        )
    found = stored_digest(value) if request.redacted else (digest(_value_bytes(value)) if value else None)
    if found:
        return found
    raise NotVerifiedError("malformed_header", f"The parameter {name} of the URL is empty.")


def _concealed(value: str) -> str:
    return digest(_value_bytes(value)) if value else HIDDEN


def _value_bytes(value: str) -> bytes:
    return unquote_to_bytes(header_bytes(value).replace(b"+", b" "))


def _query_forms(token: bytes) -> list[bytes]:
    """Also with its plus signs unencoded, which read as spaces: people paste tokens into URLs as they are."""
    return [form for wire in wire_forms(token) for form in (wire, wire.replace(b"+", b" "))]


def _in_body(key: str) -> Scheme:
    presented = partial(_presented_in_body, key)

    def verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
        return _judge(request, secrets, presented=presented, forms=lambda token: [token])

    def sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
        token = text_key(secret).decode("utf-8", "surrogatepass")
        payload = _object(request.body)
        if payload is None:
            raise ValueError(f"{secret.name} cannot be put into the body: it is not a JSON object.")
        return replace(request, body=json.dumps({**payload, key: token}).encode())

    def conceal(request: RawRequest) -> RawRequest:
        payload = _object(request.body)
        if request.redacted or payload is None or payload.get(key) is None:
            return request
        value = payload[key]
        hidden = digest(_text_bytes(value)) if value and isinstance(value, str) else HIDDEN
        return replace(request, body=json.dumps({**payload, key: hidden}).encode())

    return Scheme("token", verify, sign, conceal, challenge=_ELSEWHERE)


def _presented_in_body(key: str, request: RawRequest) -> str:
    payload = _object(request.body)
    if payload is None:
        raise NotVerifiedError(
            "malformed_body", f"The body is not a JSON object, whose key {key} is the token."
        )
    value = payload.get(key)
    if value is None:
        raise NotVerifiedError("missing_token", f"The body has no key {key}: give the sender the token.")
    if isinstance(value, str) and value:
        found = stored_digest(value) if request.redacted else digest(_text_bytes(value))
        if found:
            return found
    raise NotVerifiedError("malformed_token", f"The key {key} of the body is empty or no text.")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        payload = json.loads(body)
        return payload if isinstance(payload, dict) else None
    except (ValueError, RecursionError):
        return None


def _text_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


TYPE = SchemeType("token", OPTIONS, build, contradictions)
