"""The options of the generic `hmac` scheme, as JSON Schema and as rules between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integration.verify.scheme import object_schema
from integration.verify.template import compile_template, placeholders

DEFAULT_TOLERANCE = 300
_TEXT = {"type": "string", "minLength": 1}

TOLERANCE = {
    "type": "integer",
    "minimum": 1,
    "maximum": 604_800,
    "description": f"Seconds that a request may be old, or ahead of our clock. Default {DEFAULT_TOLERANCE}.",
}

_LIST = object_schema(
    "If the header holds several entries, as t=1700000000,v1=5257a8...,v1=6ffbb5...",
    {
        "separator": {**_TEXT, "description": "What stands between entries, as `,`."},
        "pair": {**_TEXT, "description": "What stands between the key and the value of an entry, as `=`."},
        "signature_key": {**_TEXT, "description": "The key of entries that are signatures, as v1."},
        "timestamp_key": {**_TEXT, "description": "The key of the entry that is the timestamp, as t."},
        "timestamp_position": {
            "enum": ["first", "last"],
            "description": "Where the timestamp stands among entries without keys.",
        },
    },
    ["separator"],
)

_TIMESTAMP = object_schema(
    "Where the time of signing stands, if not among the entries of the signature header, and its unit.",
    {
        "header": {**_TEXT, "description": "The header that holds it."},
        "unit": {
            "enum": ["s", "ms", "iso"],
            "description": "Seconds or milliseconds since 1970, or ISO 8601. Default s.",
        },
    },
)

OPTIONS = object_schema(
    "A signature by a shared key over parts of the request, in a header.",
    {
        "header": {**_TEXT, "description": "The header that holds the signature, as X-Hub-Signature-256."},
        "template": {
            **_TEXT,
            "description": "What is signed: text with {body}, {timestamp}, {id}, {url}, {url_hubspot} (with"
            " the codes decoded that HubSpot decodes), {method}, {form} (the fields of a form, sorted by"
            " name, name and value joined by nothing, as Twilio and Mandrill sign them) and, for kind hash,"
            " {secret}. Default {body}.",
        },
        "kind": {
            "enum": ["hmac", "hash"],
            "description": "hmac (default), or a plain hash with {secret} in the template.",
        },
        "algorithm": {
            "enum": ["sha256", "sha512", "sha1", "md5"],
            "description": "Default sha256. sha1 and md5 are legacy: only for senders without better.",
        },
        "encoding": {"enum": ["hex", "base64"], "description": "How the signature is written. Default hex."},
        "key_encoding": {
            "enum": ["utf8", "hex", "base64"],
            "description": "How the secret becomes the key: its text as it is (utf8, default), or decoded.",
        },
        "key_prefix": {
            **_TEXT,
            "description": "What to take off the secret first, if it is there, as whsec_. Default nothing.",
        },
        "prefix": {**_TEXT, "description": "What stands before the signature, as sha256=. Default nothing."},
        "prefix_optional": {
            "type": "boolean",
            "description": "Whether signatures without the prefix are read too. Default false.",
        },
        "list": _LIST,
        "timestamp": _TIMESTAMP,
        "tolerance": TOLERANCE,
        "id_header": {**_TEXT, "description": "The header that stands for {id} in the template."},
    },
    ["header"],
)


def check_consistency(options: Mapping[str, Any]) -> None:
    """Raise ValueError with a sentence if options that are valid one by one contradict each other."""
    entries = options.get("list", {})
    _check_entries(entries)
    parts = placeholders(compile_template(options.get("template", "{body}")))
    header = options.get("timestamp", {}).get("header")
    inline = entries.get("timestamp_key") or entries.get("timestamp_position")
    _refuse(bool(header and inline), "timestamp: it stands in a header of its own or in the list: keep one")
    rules = (
        ("timestamp", header or inline, "`timestamp: {header: ...}` or a timestamp in `list`"),
        ("id", options.get("id_header"), "`id_header`"),
        ("secret", options.get("kind") == "hash", "`kind: hash`"),
    )
    _refuse(
        not {"body", "form"} & parts,
        "template: it must hold {body} or {form}: an unsigned body could be anyone's",
    )
    for part, given, option in rules:
        _refuse(part in parts and not given, f"template: {{{part}}} needs {option}")
        _refuse(bool(given) and part not in parts, f"template: it must hold {{{part}}}, because of {option}")
    _refuse("tolerance" in options and not (header or inline), "tolerance: there is no timestamp to judge")


def _check_entries(entries: Mapping[str, Any]) -> None:
    keyed = entries.get("signature_key") or entries.get("timestamp_key")
    _refuse(bool(keyed) and not entries.get("pair"), "list: keys need `pair`, what stands after a key")
    _refuse(
        bool(entries.get("pair")) and not entries.get("signature_key"), "list: `pair` needs `signature_key`"
    )
    _refuse(
        bool(entries.get("pair") and entries.get("timestamp_position")),
        "list: entries have keys (`timestamp_key`) or places (`timestamp_position`): keep one",
    )


def _refuse(wrong: bool, sentence: str) -> None:  # noqa: FBT001 - reads as an assertion
    if wrong:
        raise ValueError(sentence)
