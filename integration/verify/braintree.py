"""Braintree: a form with `bt_signature` (pairs of public key and signature) and `bt_payload` (base64 of XML).

https://developer.paypal.com/braintree/docs/guides/webhooks/parse, and Braintree's Python library,
2026-11-23.
Legacy by today's measure, and the only thing that Braintree offers: HMAC-SHA-1, keyed with the SHA-1 of the
private key. The secret is written `public_key:private_key`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify.form import form_fields
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    names_of,
    object_schema,
    text_key,
    usable_keys,
)

OPTIONS = object_schema(
    "Braintree's signature in the form (legacy HMAC-SHA-1). Each secret is written as"
    " public_key:private_key.",
    {},
)
_CHALLENGE = re.compile(r"[a-f0-9]{20,32}")
_MOST_FIELDS = 100
_Keys = tuple[bytes, bytes]


def build(_: Mapping[str, Any]) -> Scheme:
    """The scheme has no options."""
    return Scheme("braintree", _verify, _sign, conceal=lambda request: request)


def challenge_answer(challenge: str, secret: Secret) -> str | None:
    """What Braintree expects for `?bt_challenge=`: `public_key|signature`; None if it is not a challenge.

    The form is checked because the signature of any text would be a signature of a webhook's text.
    Raises ValueError, which names the setting, if the secret cannot be used.
    """
    public, key = _keys(secret)
    if not _CHALLENGE.fullmatch(challenge):
        return None
    return f"{public.decode('utf-8', 'replace')}|{_signature(key, challenge.encode())}"


def _verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
    try:
        keys, problems = usable_keys(secrets, _joined_keys)
        fields = _fields(request.body)
        pairs, payload = _pairs(_field(fields, "bt_signature")), _field(fields, "bt_payload")
    except NotVerifiedError as error:
        return error.verdict
    for secret, _key in keys:
        public, key = _keys(secret)
        expected = [_signature(key, text).encode() for text in (payload, payload + b"\n")]
        given = [signature for name, signature in pairs if hmac.compare_digest(name, public)]
        if any(hmac.compare_digest(one, other) for one in expected for other in given):
            return Verdict(secret_name=secret.name)
    sentence = (
        f"No signature in bt_signature was made with the keys in {names_of(secret for secret, _ in keys)}:"
        " compare with the API keys that Braintree's Control Panel shows."
    )
    return Verdict("signature_mismatch", " ".join([sentence, *problems]))


def _sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
    public, key = _keys(secret)
    try:
        payload = _field(_fields(request.body), "bt_payload")
    except NotVerifiedError as error:
        raise ValueError(f"The body cannot be signed with {secret.name}: {error}") from None
    form = {"bt_signature": public + b"|" + _signature(key, payload).encode(), "bt_payload": payload}
    headers = {**request.headers, "content-type": "application/x-www-form-urlencoded"}
    return replace(request, body=urlencode(form).encode(), headers=headers)


def _fields(body: bytes) -> dict[bytes, bytes]:
    try:
        pairs = form_fields(body, _MOST_FIELDS)
    except ValueError:
        raise NotVerifiedError("malformed_body", "The body is not a form as Braintree sends it.") from None
    return dict(reversed(pairs))


def _field(fields: Mapping[bytes, bytes], name: str) -> bytes:
    if name.encode() not in fields:
        raise NotVerifiedError(
            "missing_signature",
            f"The body has no form field {name}: Braintree sends a form with bt_signature and bt_payload.",
        )
    return fields[name.encode()]


def _pairs(text: bytes) -> list[tuple[bytes, bytes]]:
    found = [pair.partition(b"|") for pair in text.split(b"&")]
    pairs = [(name.strip(), signature.strip()) for name, bar, signature in found if bar]
    if not pairs:
        raise NotVerifiedError("malformed_signature", "bt_signature is not `public_key|signature`.")
    return pairs


def _signature(key: bytes, text: bytes) -> str:
    return hmac.digest(key, text, "sha1").hex()


def _joined_keys(secret: Secret) -> bytes:
    return b"".join(_keys(secret))


def _keys(secret: Secret) -> _Keys:
    """The public key, and the key of the signature: the SHA-1 of the private key."""
    text_key(secret)
    public, colon, private = secret.value.strip().partition(":")
    if not colon or not public.strip() or not private.strip():
        raise ValueError(f"{secret.name} is not public_key:private_key: copy both API keys again.")
    digest = hashlib.sha1(private.strip().encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return public.strip().encode("utf-8", "surrogatepass"), digest


TYPE = SchemeType("braintree", OPTIONS, build)
