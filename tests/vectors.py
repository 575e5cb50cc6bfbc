"""Recorded requests of real systems with their verdicts, most confirmed by the vendor's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, RawRequest, Secret

FOLDER = Path(__file__).parent / "data" / "vectors"

_KEYED = {"separator": ",", "pair": "=", "signature_key": "v1", "timestamp_key": "t"}
_TIMED_BODY = "{timestamp}.{body}"
OPTIONS: dict[str, dict[str, Any]] = {
    "stripe": {"scheme": "stripe"},
    "standard_webhooks": {"scheme": "standard-webhooks"},
    "svix": {"scheme": "standard-webhooks"},
    "polar": {"scheme": "standard-webhooks", "key_encoding": "utf8"},
    "basic": {"scheme": "basic"},
    "special:adyen": {"scheme": "adyen"},
    "special:braintree": {"scheme": "braintree"},
    "special:standard_webhooks_v1a": {"scheme": "standard-webhooks"},
    "special:paypal": {"scheme": "paypal"},
    "github": {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="},
    "intercom": {"scheme": "hmac", "header": "X-Hub-Signature", "prefix": "sha1=", "algorithm": "sha1"},
    "adyen_header": {
        "scheme": "hmac",
        "header": "HmacSignature",
        "encoding": "base64",
        "key_encoding": "hex",
    },
    "calendly": {
        "scheme": "hmac",
        "header": "Calendly-Webhook-Signature",
        "list": _KEYED,
        "template": _TIMED_BODY,
        "tolerance": 180,
    },
    "close": {
        "scheme": "hmac",
        "header": "close-sig-hash",
        "timestamp": {"header": "close-sig-timestamp"},
        "key_encoding": "hex",
        "template": "{timestamp}{body}",
    },
    "hubspot_v1": {
        "scheme": "hmac",
        "kind": "hash",
        "header": "X-HubSpot-Signature",
        "template": "{secret}{body}",
    },
    "hubspot_v2": {
        "scheme": "hmac",
        "kind": "hash",
        "header": "X-HubSpot-Signature",
        "template": "{secret}{method}{url}{body}",
    },
    "hubspot_v3": {
        "scheme": "hmac",
        "header": "X-HubSpot-Signature-v3",
        "encoding": "base64",
        "timestamp": {"header": "X-HubSpot-Request-Timestamp", "unit": "ms"},
        "template": "{method}{url_hubspot}{body}{timestamp}",
    },
    "mollie": {
        "scheme": "hmac",
        "header": "X-Mollie-Signature",
        "prefix": "sha256=",
        "prefix_optional": True,
        "list": {"separator": ","},
    },
    "paddle": {
        "scheme": "hmac",
        "header": "Paddle-Signature",
        "list": {"separator": ";", "pair": "=", "signature_key": "h1", "timestamp_key": "ts"},
        "template": "{timestamp}:{body}",
        "tolerance": 5,
    },
    "recurly": {
        "scheme": "hmac",
        "header": "recurly-signature",
        "list": {"separator": ",", "timestamp_position": "first"},
        "timestamp": {"unit": "ms"},
        "template": _TIMED_BODY,
    },
    "square": {
        "scheme": "hmac",
        "header": "x-square-hmacsha256-signature",
        "encoding": "base64",
        "template": "{url}{body}",
    },
    "typeform": {
        "scheme": "hmac",
        "header": "Typeform-Signature",
        "prefix": "sha256=",
        "encoding": "base64",
    },
}
_PARTS_OF_SECRETS = (
    "username",
    "password",
    "public_key",
    "private_key",
    "organization_id",
    "token",
    "webhook_id",
)
_SAME_NAME = ("kind", "algorithm", "encoding", "tolerance")
_RENAMED = {"sig_header": "header", "sig_prefix": "prefix"}


def options_of(vector: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - one line for each
    """A vector's scheme and `params` in the words of a mapping file."""
    params = vector.get("params", {})
    match vector["scheme"]:
        case "hmac_hex":
            return {"scheme": "hmac", "header": params["header"]}
        case "hmac_b64":
            return {"scheme": "hmac", "header": params["header"], "encoding": "base64"}
        case "token_header":
            return {"scheme": "token", **params}
        case "token_query":
            return {"scheme": "token", "query": params["param"]}
        case "token_body":
            return {"scheme": "token", "body": params["field"]}
        case "special:salesforce_om":
            return {"scheme": "salesforce", "query": vector["secret"]["token_param"]}
        case "generic":
            return _generic(params)
        case name:
            return OPTIONS[name]


def _generic(params: dict[str, Any]) -> dict[str, Any]:
    options = {"scheme": "hmac", "template": params["template"].replace("{ts}", "{timestamp}")}
    options |= {name: params[name] for name in _SAME_NAME if name in params}
    options |= {ours: params[theirs] for theirs, ours in _RENAMED.items() if theirs in params}
    if "ts_header" in params:
        options["timestamp"] = {"header": params["ts_header"], "unit": params["ts_unit"]}
    return options


def read_vector(file: Path) -> dict[str, Any]:
    """A vector's file as it is written."""
    vector: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return vector


def request_of(vector: dict[str, Any], folder: Path) -> RawRequest:
    """The request as it came; `folder` has its body."""
    return RawRequest(
        MAIN_ACCOUNT,
        source=folder.name,
        method=vector["method"],
        url=vector["url"],
        query=vector["url"].partition("?")[2],
        headers={name.lower(): value for name, value in vector["headers"].items()},
        body=(folder / vector["body_file"]).read_bytes(),
        received_at=vector["now"] * MICROS_PER_SECOND,
        certificate=certificate_of(vector, folder),
    )


def certificate_of(vector: dict[str, Any], folder: Path) -> bytes:
    """The certificate that stands where the request says; b"" for a scheme that knows none."""
    secret = vector["secret"]
    name = secret.get("cert_file") if isinstance(secret, dict) else None
    return (folder / name).read_bytes() if name else b""


def secret_of(vector: dict[str, Any]) -> Secret:
    """The secret, as a setting of ours holds it."""
    value = vector["secret"]
    if not isinstance(value, str):
        value = ":".join(value[name] for name in _PARTS_OF_SECRETS if name in value)
    return Secret("THE_SECRET", value)


VECTORS = [file for file in sorted(FOLDER.glob("*/vector*.json")) if read_vector(file)["valid"] is not None]
