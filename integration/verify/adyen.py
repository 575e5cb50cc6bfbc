"""Adyen's standard webhooks: a signature inside each item, over eight of its fields.

https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/, 2026-11-23.
The other fields of an item are not signed: anyone between the sender and us could change them. Webhooks of
the platform and of management are signed in a header instead, which the `hmac` scheme verifies.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    base64_bytes,
    names_of,
    object_schema,
    text_key,
    usable_keys,
)

OPTIONS = object_schema(
    "Adyen's standard webhooks: every item of a request carries a signature over its selected fields. The"
    " secret is the HMAC key in hexadecimal.",
    {},
)
_PLACE = "additionalData.hmacSignature"
_FIELDS = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
_LAST_FIELDS = ("eventCode", "success")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def build(_: Mapping[str, Any]) -> Scheme:
    """The scheme has no options."""
    return Scheme("adyen", _verify, _sign, conceal=lambda request: request)


def _verify(request: RawRequest, secrets: Sequence[Secret], _: Micros) -> Verdict:
    try:
        keys, problems = usable_keys(secrets, _key)
        signed = [(_signed_text(item), _signature(item)) for item in _items(request.body)]
    except NotVerifiedError as error:
        return error.verdict
    for secret, key in keys:
        if all(hmac.compare_digest(hmac.digest(key, text, "sha256"), given) for text, given in signed):
            return Verdict(secret_name=secret.name)
    sentence = (
        f"Not every item was signed with the key in {names_of(secret for secret, _ in keys)}: compare with"
        " the HMAC key that Adyen's Customer Area shows for this very webhook."
    )
    return Verdict("signature_mismatch", " ".join([sentence, *problems]))


def _sign(request: RawRequest, secret: Secret, _: Micros) -> RawRequest:
    key = _key(secret)
    try:
        payload = _payload(request.body)
        for item in _items_of(payload):
            signature = b64encode(hmac.digest(key, _signed_text(item), "sha256")).decode("ascii")
            item["additionalData"] = {**_additional(item), "hmacSignature": signature}
    except NotVerifiedError as error:
        raise ValueError(f"The body cannot be signed with {secret.name}: {error}") from None
    return replace(request, body=json.dumps(payload, ensure_ascii=False).encode())


def _items(body: bytes) -> list[dict[str, Any]]:
    return _items_of(_payload(body))


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("The body is not JSON") from None


def _items_of(payload: Any) -> list[dict[str, Any]]:
    entries = payload.get("notificationItems") if isinstance(payload, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _malformed("The body has no list `notificationItems` with items")
    items = [entry.get("NotificationRequestItem") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(item, dict) for item in items):
        raise _malformed("An entry of `notificationItems` has no `NotificationRequestItem`")
    return [item for item in items if isinstance(item, dict)]


def _malformed(what: str) -> NotVerifiedError:
    return NotVerifiedError("malformed_body", f"{what}: Adyen's standard webhooks are JSON with items.")


def _additional(item: Mapping[str, Any]) -> dict[str, Any]:
    found = item.get("additionalData")
    return found if isinstance(found, dict) else {}


def _signature(item: Mapping[str, Any]) -> bytes:
    text = _additional(item).get("hmacSignature")
    if text is None:
        raise NotVerifiedError(
            "missing_signature",
            f"An item has no {_PLACE}: generate an HMAC key for this webhook in Adyen's Customer Area.",
        )
    try:
        return base64_bytes(text) if isinstance(text, str) else b""
    except ValueError:
        raise NotVerifiedError("malformed_signature", f"{_PLACE} of an item is not base64.") from None


def _signed_text(item: Mapping[str, Any]) -> bytes:
    amount = item.get("amount")
    amounts = amount if isinstance(amount, dict) else {}
    values = [item.get(name) for name in _FIELDS]
    values += [amounts.get("value"), amounts.get("currency"), *(item.get(name) for name in _LAST_FIELDS)]
    return ":".join(_written(value) for value in values).encode("utf-8", "surrogatepass")


def _written(value: Any) -> str:
    """A field as Adyen signs it; what is not a plain value can never have been signed, and stays apart."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        raise _malformed("A signed field of an item cannot be read") from None


def _key(secret: Secret) -> bytes:
    text_key(secret)
    text = secret.value.strip()
    if not _HEX.fullmatch(text):
        raise ValueError(f"{secret.name} is not hex: copy the HMAC key again.")
    return bytes.fromhex(text)


TYPE = SchemeType("adyen", OPTIONS, build)
