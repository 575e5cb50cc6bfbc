"""Mutations that leave a body readable: a value of it becomes an odd one, an element comes twice or goes.

Mutated bytes of JSON are hardly ever JSON. These changes get past the reader, to what looks at the values.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fuzz.message import read, write

Bytes = Callable[[bytes, int], bytes]
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, -0.0, 1e308, 2**63, -(2**63) - 1, 10**400, 253402300800, 10**15,
    "", " ", "0", "no", "NaN", "-1e999", "1e-400", "9" * 400, "\x00",
    "\U0001f600", "\u0661", "\u0130", "\u2028\r\n\x1b[31m",
    "a@b", "A" * 201, "A" * 11_000, "USD", "KWD", "XXX", "..", "%2e%2e/", "8a41f2f22906b93a012906b9438f0008",
    "2026-11-23T16:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.9999999-23:59",
    "2026-W01-1", "24:00",
    [], {}, [[]], {"": ""}, [None, 1, "a", {}], {"#text": "1", "@nil": "true"},
)  # fmt: skip
_TEXT_OF_XML = re.compile(rb"(?<=>)[^<>]*(?=<)")


def mutated(data: bytes, longest: int, seed: int, by_bytes: Bytes) -> bytes:
    """An input made of another: its bytes changed, or a value of its body; of at most `longest` bytes."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    if chance.random() < 0.4:
        return by_bytes(data, longest)
    message = read(data)
    body = message.body
    for _ in range(chance.choice((1, 1, 2, 4))):
        body = _changed(body, message.headers.get("content-type", ""), chance, by_bytes)
    changed = write(message.words, message.headers, body)
    return changed if len(changed) <= longest else by_bytes(data, longest)


def _changed(body: bytes, kind: str, chance: random.Random, by_bytes: Bytes) -> bytes:
    if "xml" in kind:
        return _with_other_text(body, chance)
    if "form" in kind:
        return _with_other_field(body, chance)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return by_bytes(body, len(body) + 16)
    return json.dumps(_with_other_value(payload, chance)).encode()


def _with_other_value(payload: Any, chance: random.Random) -> Any:
    """The payload with one change, anywhere in it."""
    if isinstance(payload, (dict, list)) and payload and chance.random() < 0.85:
        key = chance.choice(list(payload) if isinstance(payload, dict) else range(len(payload)))
        what = chance.random()
        if what < 0.05:
            del payload[key]
        elif what < 0.1 and isinstance(payload, list):
            payload.append(payload[key])
        elif what < 0.1 and isinstance(payload, dict):
            payload[chance.choice(list(payload))] = payload[key]
        else:
            payload[key] = _with_other_value(payload[key], chance)
        return payload
    return chance.choice((*ODD, [payload], {"value": payload}, str(payload)))


def _with_other_text(body: bytes, chance: random.Random) -> bytes:
    places = list(_TEXT_OF_XML.finditer(body))
    if not places:
        return body
    place = chance.choice(places)
    text = str(chance.choice(ODD)).replace("<", "").replace("&", "")
    return body[: place.start()] + text.encode() + body[place.end() :]


def _with_other_field(body: bytes, chance: random.Random) -> bytes:
    fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    if not fields:
        return body
    position = chance.randrange(len(fields))
    fields[position] = (fields[position][0], str(chance.choice(ODD)).encode().decode("latin-1"))
    if chance.random() < 0.1:
        fields.append(chance.choice(fields))
    return urlencode(fields, encoding="latin-1").encode()
