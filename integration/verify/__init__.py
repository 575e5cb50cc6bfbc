"""Verification, pure: (raw request, secrets, now) to a verdict. One file per scheme.

To add a scheme: a file that ends in its `TYPE` (which declares its options, once), one line in `SCHEMES`, and
a subclass of the contract in `tests/contracts/scheme.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from integration.core.errors import shorten
from integration.files.positions import dotted
from integration.files.wording import Language, Misfit
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
from integration.verify.scheme import Contradiction, Scheme, SchemeType

__all__ = [
    "SCHEMES",
    "Contradiction",
    "Scheme",
    "SchemeType",
    "build",
    "contradictions",
    "redact",
    "with_schemes",
]

SCHEMES: Mapping[str, SchemeType] = MappingProxyType(
    {
        module.TYPE.name: module.TYPE
        for module in (
            stripe,
            standard_webhooks,
            signature,
            basic,
            token,
            adyen,
            braintree,
            salesforce,
            paypal,
        )
    }
)


_LANGUAGES = {name: Language(kind.options) for name, kind in SCHEMES.items()}


def build(options: Mapping[str, Any]) -> Scheme:
    """The scheme of a mapping's `verify:` block without `secrets`: `{"scheme": "stripe", "tolerance": 300}`.

    Raises ValueError with a sentence for each option that cannot be used.
    """
    name = options.get("scheme")
    kind = SCHEMES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"scheme: {shorten(name)} is unknown: use one of {', '.join(SCHEMES)}")
    given = {key: value for key, value in options.items() if key != "scheme"}
    wrong = [_sentence(misfit) for misfit in _LANGUAGES[kind.name].misfits(given)]
    wrong = wrong or [str(found) for found in kind.contradictions(given)]
    if wrong:
        raise ValueError("; ".join(wrong))
    return kind.build(given)


def contradictions(verify: Mapping[str, Any]) -> Iterator[Contradiction]:
    """What does not fit together in a mapping's `verify:` block that is valid by the schema."""
    given = {key: value for key, value in verify.items() if key not in ("scheme", "secrets")}
    return SCHEMES[verify["scheme"]].contradictions(given)


def with_schemes(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of mapping files with the options of every scheme in the place of those that it states."""
    verify = schema["$defs"]["verify"]
    names = {**verify["properties"]["scheme"], "enum": [*SCHEMES]}
    stated = {
        **verify,
        "properties": {**verify["properties"], "scheme": names},
        "allOf": [_stated(kind) for kind in SCHEMES.values()],
    }
    return {**schema, "$defs": {**schema["$defs"], "verify": stated}}


def _stated(kind: SchemeType) -> dict[str, Any]:
    return {
        "if": {"required": ["scheme"], "properties": {"scheme": {"const": kind.name}}},
        "then": {
            "title": kind.name,
            "description": kind.options["description"],
            "required": kind.options.get("required", []),
            "properties": {"scheme": True, "secrets": True, **kind.options["properties"]},
            "additionalProperties": False,
        },
    }


def _sentence(misfit: Misfit) -> str:
    subject = f"{dotted(misfit.path)}: " if misfit.path else ""
    return f"{subject}{misfit.message} ({misfit.cure})"
