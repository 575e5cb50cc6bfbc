"""Secrets for sources, made up: of the form that each source's scheme wants."""

from __future__ import annotations

from base64 import b64encode

from integration.config.sources import Source

_SECRETS = {
    "basic": "user:made-up-password",
    "standard-webhooks": "whsec_" + b64encode(b"made up for a test").decode(),
    "salesforce": "00D5Y000001MPM7UAO:made-up",
    "braintree": "public_key:private_key",
    "adyen": "0f" * 32,
}


def made_up_secret(source: Source) -> str:
    options = source.mapping.verify.options
    if options.get("key_encoding") == "hex":
        return "0f" * 32
    if options.get("key_encoding") == "utf8" and source.scheme.name == "standard-webhooks":
        return "polar_whs_made-up"
    return _SECRETS.get(source.scheme.name, f"made-up-for-{source.name}")
