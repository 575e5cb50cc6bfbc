"""HTTP Basic authentication (RFC 7617): the secret is `user:password`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    base64_bytes,
    challenge_for,
    object_schema,
    text_key,
)
from integration.verify.shared_secret import HIDDEN, digest, judge, stored_digest, wire_forms

HEADER = "authorization"
# Some senders add their credentials only once they are asked; charset says in which encoding:
# https://www.rfc-editor.org/rfc/rfc7617#section-2.1, 2026-11-23
CHALLENGE = f'{challenge_for("Basic")}, charset="UTF-8"'
OPTIONS = object_schema("HTTP Basic authentication. Each secret is written as user:password.", {})


def build(_: Mapping[str, Any]) -> Scheme:
    """The scheme has no options."""
    return Scheme("basic", _verify, _sign, _conceal, headers=frozenset({HEADER}), challenge=CHALLENGE)


def _verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
    mismatch = "The user and password match none of"
    return judge(
        request, secrets, presented=_presented, key_of=_key, forms=wire_forms, mismatch=mismatch
    )  # fmt: skip


def _sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
    credentials = base64.b64encode(_key(secret)).decode("ascii")
    return replace(request, headers={**request.headers, HEADER: f"Basic {credentials}"})


def _conceal(request: RawRequest) -> RawRequest:
    if HEADER not in request.headers:
        return request
    try:
        hidden = f"Basic {_presented(request)}"
    except NotVerifiedError:
        hidden = HIDDEN
    return replace(request, headers={**request.headers, HEADER: hidden})


def _presented(request: RawRequest) -> str:
    value = request.headers.get(HEADER)
    if value is None:
        raise NotVerifiedError(
            "missing_header",
            "The request has no Authorization header: set user name and password at the sender, and check"
            " that a proxy in front of us does not remove the header.",
        )
    scheme, _, credentials = value.strip().partition(" ")
    if scheme.lower() == "basic":
        found = stored_digest(credentials) if request.redacted else _digest(credentials.strip())
        if found:
            return found
    raise NotVerifiedError(
        "malformed_header", "The Authorization header is not `Basic` and the base64 of user:password."
    )


def _digest(credentials: str) -> str | None:
    try:
        user_password = base64_bytes(credentials)
    except ValueError:
        return None
    return digest(user_password) if b":" in user_password else None


def _key(secret: Secret) -> bytes:
    user, colon, password = secret.value.partition(":")
    if not user.strip() and not password.strip():
        raise ValueError(f"{secret.name} is blank: set it to user:password as given to the sender.")
    if not colon:
        raise ValueError(f"{secret.name} holds no colon: write it as user:password.")
    return text_key(secret)


TYPE = SchemeType("basic", OPTIONS, build)
