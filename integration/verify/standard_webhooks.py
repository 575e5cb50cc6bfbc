"""Standard Webhooks (and Svix, where it comes from): `webhook-id`, `-timestamp` and `-signature` headers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, 2026-11-23.
A secret that begins with `whpk_` is a public key for entries `v1a` (Ed25519), any other a key for entries
`v1` (HMAC); entries of other versions are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify import signature
from integration.verify.ed25519 import is_public_key
from integration.verify.options import TOLERANCE
from integration.verify.scheme import Scheme, SchemeType, object_schema

OPTIONS = object_schema(
    "Standard Webhooks, with webhook-* or svix-* headers. The secret is whsec_ and base64, or"
    " whpk_ and base64 where the sender signs with Ed25519 (v1a).",
    {
        "tolerance": TOLERANCE,
        "key_encoding": {
            "enum": ["base64", "utf8"],
            "description": "base64 (default): the key is what follows whsec_, decoded. utf8: the whole text"
            " of the secret is the key, as Polar has it.",
        },
    },
)


def build(options: Mapping[str, Any]) -> Scheme:
    """See OPTIONS."""
    ours, svix = _with_headers("webhook", options), _with_headers("svix", options)

    asymmetric = {True: _asymmetric("svix", options), False: _asymmetric("webhook", options)}

    def verify(request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
        is_svix = "svix-signature" in request.headers and "webhook-signature" not in request.headers
        public = [secret for secret in secrets if is_public_key(secret)]
        shared = [secret for secret in secrets if not is_public_key(secret)]
        if public:
            verdict = asymmetric[is_svix].verify(request, public, now)
            if not shared or verdict.secret_name:
                return verdict
        return (svix if is_svix else ours).verify(request, shared, now)

    def sign(request: RawRequest, secret: Secret, now: Micros) -> RawRequest:
        return (asymmetric[False] if is_public_key(secret) else ours).sign(request, secret, now)

    return replace(ours, verify=verify, sign=sign, headers=ours.headers | svix.headers)


def _asymmetric(family: str, options: Mapping[str, Any]) -> Scheme:
    preset = {
        "kind": "ed25519",
        "header": f"{family}-signature",
        "id_header": f"{family}-id",
        "timestamp": {"header": f"{family}-timestamp"},
        "template": "{id}.{timestamp}.{body}",
        "encoding": "base64",
        "list": {"separator": " ", "pair": ",", "signature_key": "v1a"},
    }
    tolerance = {"tolerance": options["tolerance"]} if "tolerance" in options else {}
    return signature.build({**preset, **tolerance}, "standard-webhooks")


def _with_headers(family: str, options: Mapping[str, Any]) -> Scheme:
    key_encoding = options.get("key_encoding", "base64")
    preset = {
        "header": f"{family}-signature",
        "id_header": f"{family}-id",
        "timestamp": {"header": f"{family}-timestamp"},
        "template": "{id}.{timestamp}.{body}",
        "encoding": "base64",
        "list": {"separator": " ", "pair": ",", "signature_key": "v1"},
        **({"key_prefix": "whsec_"} if key_encoding == "base64" else {}),
    }
    return signature.build({**preset, **options, "key_encoding": key_encoding}, "standard-webhooks")


TYPE = SchemeType("standard-webhooks", OPTIONS, build)
