"""The options of the generic `hmac` scheme, as JSON Schema and as rules between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from integration.verify.scheme import Contradiction, object_schema
from integration.verify.template import PlaceholderError, compile_template, placeholders

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


def contradictions(options: Mapping[str, Any]) -> Iterator[Contradiction]:
    """All options that are valid one by one and contradict each other."""
    entries, timestamp = options.get("list", {}), options.get("timestamp", {})
    inline = bool(entries.get("timestamp_key") or entries.get("timestamp_position"))
    yield from _of_entries(entries)
    yield from _of_time(options, timestamp.get("header"), inline=inline)
    try:
        template = compile_template(options.get("template", "{body}"))
    except PlaceholderError as error:
        yield Contradiction(("template",), error.message, error.cure)
        return
    yield from _of_template(options, placeholders(template), bool(timestamp.get("header")) or inline)


def _of_entries(entries: Mapping[str, Any]) -> Iterator[Contradiction]:
    pair, place = entries.get("pair"), entries.get("timestamp_position")
    if (entries.get("signature_key") or entries.get("timestamp_key")) and not pair:
        yield Contradiction(("list",), "has keys, and not what stands after one", "add `pair`, as `pair: =`")
    if pair and not entries.get("signature_key"):
        cure = "add `signature_key`, or remove `pair`"
        yield Contradiction(("list", "pair"), "needs the key of signatures beside it", cure)
    if pair and place:
        message = "goes with entries without keys, and `pair` says that they have keys"
        yield Contradiction(
            ("list", "timestamp_position"), message, "keep one; entries with keys have `timestamp_key`"
        )


def _of_time(options: Mapping[str, Any], header: str | None, *, inline: bool) -> Iterator[Contradiction]:
    if header and inline:
        message = "stands in a header of its own and in the list"
        yield Contradiction(("timestamp", "header"), message, "keep one")
    if header or inline:
        return
    if "timestamp" in options:
        cure = "add `header`, or a timestamp in `list`, or remove it"
        yield Contradiction(("timestamp",), "does not say where the time stands", cure)
    if "tolerance" in options:
        cure = "say where it stands: `timestamp: {header: ...}`, or in `list`; or remove the tolerance"
        yield Contradiction(("tolerance",), "there is no timestamp to judge", cure)


def _of_template(options: Mapping[str, Any], parts: set[str], timed: bool) -> Iterator[Contradiction]:  # noqa: FBT001 - private
    if not {"body", "form"} & parts:
        message = "must hold {body} or {form}: an unsigned body could be anyone's"
        yield Contradiction(("template",), message, "write e.g. `template: '{timestamp}.{body}'`")
    rules = (
        ("timestamp", timed, "`timestamp: {header: ...}` or a timestamp in `list`"),
        ("id", bool(options.get("id_header")), "`id_header`"),
        ("secret", options.get("kind") == "hash", "`kind: hash`"),
    )
    for part, given, option in rules:
        if part in parts and not given:
            yield Contradiction(("template",), f"{{{part}}} needs {option}", "add it, or take the part out")
        if given and part not in parts:
            message = f"must hold {{{part}}}, because of {option}"
            yield Contradiction(("template",), message, f"put {{{part}}} in, or remove the other")
