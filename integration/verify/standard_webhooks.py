"""Standard Webhooks (and Svix, where it comes from): `webhook-id`, `-timestamp` and `-signature` headers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, 2026-11-23.
Entries of other versions (`v1a`, Ed25519) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integration.records import Micros, RawRequest, Secret, Verdict
from integration.verify import signature
from integration.verify.options import TOLERANCE
from integration.verify.scheme import Scheme, SchemeType, object_schema

OPTIONS = object_schema(
    "Standard Webhooks, with webhook-* or svix-* headers. The secret is whsec_ and base64.",
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

    def verify(request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
        is_svix = "svix-signature" in request.headers and "webhook-signature" not in request.headers
        return (svix if is_svix else ours).verify(request, secrets, now)

    return replace(ours, verify=verify, headers=ours.headers | svix.headers)


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
