"""Verification, pure: (raw request, secrets, now) to a verdict. One file per scheme.

To add a scheme: a file that ends in its `TYPE`, one line in `SCHEMES`, and a subclass of the contract in
`tests/contracts/scheme.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError

from integration.core.errors import shorten
from integration.verify import (
    adyen,
    basic,
    braintree,
    paypal,
    salesforce,
    signature,
    standard_webhooks,
    stripe,
    token,
)
from integration.verify.redaction import redact
from integration.verify.scheme import Scheme, SchemeType

__all__ = ["SCHEMES", "Scheme", "SchemeType", "build", "redact"]

SCHEMES: Mapping[str, SchemeType] = MappingProxyType(
    {
        "stripe": stripe.TYPE,
        "standard-webhooks": standard_webhooks.TYPE,
        "hmac": signature.TYPE,
        "basic": basic.TYPE,
        "token": token.TYPE,
        "adyen": adyen.TYPE,
        "braintree": braintree.TYPE,
        "salesforce": salesforce.TYPE,
        "paypal": paypal.TYPE,
    }
)


def build(options: Mapping[str, Any]) -> Scheme:
    """The scheme of a mapping's `verify:` block without `secrets`: `{"scheme": "stripe", "tolerance": 300}`.

    Raises ValueError with a sentence if the options cannot be used.
    """
    name = options.get("scheme")
    kind = SCHEMES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"scheme: {shorten(name)} is unknown: use one of {', '.join(SCHEMES)}")
    given = {key: value for key, value in options.items() if key != "scheme"}
    errors = sorted(Draft202012Validator(kind.options).iter_errors(given), key=lambda error: error.json_path)
    if errors:
        raise ValueError("; ".join(_sentence(error) for error in errors))
    return kind.build(given)


def _sentence(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    subject = f"{path}: " if path else ""
    if error.validator == "additionalProperties":
        known = list(cast("Mapping[str, Any]", error.schema)["properties"])
        unknown = [str(key) for key in cast("Mapping[str, Any]", error.instance) if key not in known]
        return f"{subject}unknown option {', '.join(unknown)}: known here: {', '.join(known) or 'none'}"
    if error.validator == "required":
        return f"{subject}{error.message.replace(' is a required property', ' is missing')}"
    return f"{subject}{error.message}"
