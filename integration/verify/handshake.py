"""Answers to handshakes: what a source wants to hear before it sends events. Pure."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from integration.core.values import (
    ByBody,
    ByEmptyBody,
    ByHeader,
    ByQuery,
    Handshake,
    RawRequest,
    Secret,
    UrlToken,
)
from integration.verify.braintree import challenge_answer
from integration.verify.query import read_parameter
from integration.verify.scheme import text_key

LONGEST_VALUE = 2048


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a handshake; `refused` (with no text) where its token or its value cannot be right."""

    text: str = ""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False


def answer(
    handshakes: Iterable[Handshake], request: RawRequest, payload: Any, secrets: Sequence[Secret],
    tokens: Sequence[Secret],
) -> Reply | None:  # fmt: skip
    """The reply of the first handshake that this request is; None if it is none of them.

    `payload` is the decoded body, None if there is none; `secrets` are the source's, `tokens` the values of
    the settings that `token` entries name. Never raises.
    """
    for handshake in handshakes:
        value = _value(handshake, request, payload)
        if value is not None:
            return _reply(handshake, request, value, secrets, tokens)
    return None


def _value(handshake: Handshake, request: RawRequest, payload: Any) -> str | None:
    """The text of what the handshake is known by; None if the request is not this handshake."""
    if request.method != handshake.method:
        return None
    if any(_at(payload, path) != text for path, text in handshake.when.items()):
        return None
    match handshake.known_by:
        case ByQuery(name=name):
            return _parameter(request, name)
        case ByHeader(name=name):
            return request.headers.get(name.lower())
        case ByBody(path=path):
            found = _at(payload, path)
            return found if isinstance(found, str) else None
        case ByEmptyBody():
            return None if request.body.strip() else ""


def _parameter(request: RawRequest, name: str) -> str | None:
    value = read_parameter(request.query, name)
    return None if value is None else unquote_to_bytes(value.replace("+", " ")).decode(errors="replace")


def _at(payload: Any, path: str) -> Any:
    for key in path.split("."):
        payload = payload.get(key) if isinstance(payload, dict) else None
    return payload


def _reply(
    handshake: Handshake, request: RawRequest, value: str, secrets: Sequence[Secret],
    tokens: Sequence[Secret],
) -> Reply:  # fmt: skip
    refused = Reply(refused=True)
    if not _has_token(handshake.token, request, tokens) or len(value) > LONGEST_VALUE:
        return refused
    if handshake.reply_header and not (value.isascii() and value.isprintable()):
        return refused
    try:
        parts = _parts(handshake.reply, value, secrets)
    except (ValueError, IndexError):
        return refused
    is_json = handshake.content_type == "application/json"
    text = handshake.reply
    for name, part in parts.items():  # the value last: what it holds is never taken for a placeholder
        text = text.replace(name, json.dumps(part)[1:-1] if is_json else part)
    headers = {handshake.reply_header: value} if handshake.reply_header else {}
    return Reply(text, handshake.content_type, headers)


def _parts(template: str, value: str, secrets: Sequence[Secret]) -> dict[str, str]:
    """The texts of the placeholders that need a secret; ValueError or IndexError if they cannot be made."""
    parts = {}
    if "{hmac}" in template:
        content = value.encode("utf-8", "surrogatepass")
        parts["{hmac}"] = hmac.digest(text_key(secrets[0]), content, "sha256").hex()
    if "{braintree}" in template:
        made = challenge_answer(value, secrets[0])
        if made is None:
            raise ValueError("no challenge")
        parts["{braintree}"] = made
    return {**parts, "{value}": value}


def _has_token(wanted: UrlToken | None, request: RawRequest, tokens: Sequence[Secret]) -> bool:
    if wanted is None:
        return True
    given = (_parameter(request, wanted.query) or "").encode("utf-8", "surrogatepass")
    return any(
        hmac.compare_digest(given, token.value.strip().encode("utf-8", "surrogatepass"))
        for token in tokens
        if token.name == wanted.secret and token.value.strip()
    )
