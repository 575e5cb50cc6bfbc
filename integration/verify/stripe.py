"""Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>`, several v1 while a secret is rolled.

https://docs.stripe.com/webhooks/signature, 2026-11-23
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integration.verify import signature
from integration.verify.options import TOLERANCE
from integration.verify.scheme import Scheme, SchemeType, object_schema

OPTIONS = object_schema(
    "Stripe's own signature. The secret is the endpoint's whole whsec_... text.", {"tolerance": TOLERANCE}
)
_PRESET = {
    "header": "Stripe-Signature",
    "template": "{timestamp}.{body}",
    "list": {"separator": ",", "pair": "=", "signature_key": "v1", "timestamp_key": "t"},
}


def build(options: Mapping[str, Any]) -> Scheme:
    """See OPTIONS."""
    return signature.build({**_PRESET, **options}, "stripe")


TYPE = SchemeType("stripe", OPTIONS, build)
