"""From the bytes of a request to its payload: JSON, a form or XML, perhaps compressed. Pure, and strict.

A UTF-8 byte order mark is tolerated. NUL characters inside texts are let through: the store keeps the
raw bytes, and the fields that a text may end in are checked on their own.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from integration.body.refusal import MalformedBody, refuse
from integration.body.xml import parse_xml
from integration.core.errors import shorten
from integration.core.values import BodyField

MAX_DEPTH = 200
MAX_FORM_DEPTH = 20
MAX_FORM_FIELDS = 10_000
_JSON_TYPES = frozenset({"", "application/json", "text/json"})
_XML_TYPES = frozenset({"application/xml", "text/xml"})
_FORM_TYPE = "application/x-www-form-urlencoded"
_PLAIN = frozenset({"", "identity"})
_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


def decode(
    request_headers: Mapping[str, str], body: bytes, limit: int, wrapped: BodyField | None = None
) -> Any:
    """The payload of a request: an object or an array (JSON), or an object (form, XML).

    `request_headers` has lower-case names; without a content type the body is read as JSON. `limit` is
    the largest size in bytes, also after decompression. `wrapped` names the field of a form that holds the
    real body; bodies that are no form are read as they are. Raises MalformedBody for anything else.
    """
    kind = request_headers.get("content-type", "").partition(";")[0].strip().lower()
    parse = _parser(kind)
    plain = _decompressed(request_headers.get("content-encoding", "").strip().lower(), body, limit)
    payload = parse(_text(plain))
    if wrapped is None or kind != _FORM_TYPE:
        return payload
    return decode({"content-type": wrapped.content_type}, _unwrapped(payload, wrapped), limit)


def _unwrapped(form: Mapping[str, Any], wrapped: BodyField) -> bytes:
    text = form.get(wrapped.field)
    if not isinstance(text, str):
        refuse(f"The form has no field {wrapped.field}, which holds the body (`body.field` of the mapping).")
    if wrapped.encoding == "text":
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()).encode(), validate=True)
    except ValueError:
        refuse(f"The form's field {wrapped.field} is not base64.")


def _parser(kind: str) -> Callable[[str], Any]:
    if kind == _FORM_TYPE:
        return _parse_form
    if kind in _JSON_TYPES or kind.endswith("+json"):
        return _parse_json
    if kind in _XML_TYPES or kind.endswith("+xml"):
        return partial(parse_xml, max_depth=MAX_DEPTH)
    raise MalformedBody(
        415,
        "unsupported_content_type",
        f"The content type {shorten(kind)} cannot be read: send application/json, {_FORM_TYPE} or"
        " application/xml.",
    )


def _decompressed(encoding: str, body: bytes, limit: int) -> bytes:
    if encoding in _PLAIN:
        plain = body
    elif encoding in {"gzip", "x-gzip"}:
        plain = _gunzip(body, limit)
    elif encoding == "deflate":
        plain = _inflate(body, limit)
    else:
        raise MalformedBody(
            415,
            "unsupported_content_encoding",
            f"The content encoding {shorten(encoding)} cannot be read: send gzip, deflate or none.",
        )
    if len(plain) > limit:
        after = "" if encoding in _PLAIN else " after decompression"
        raise MalformedBody(413, "body_too_large", f"The body is larger than {limit} bytes{after}.")
    return plain


def _gunzip(body: bytes, limit: int) -> bytes:
    """At most one byte more than `limit`: a bomb is never unpacked whole."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            return stream.read(limit + 1)
    except EOFError:
        refuse("The body is not whole: its gzip data ends too early.")
    except (OSError, zlib.error):
        refuse("The body is not the gzip data that its Content-Encoding promises.")


def _inflate(body: bytes, limit: int) -> bytes:
    """zlib data as RFC 9110 has it, or bare deflate data as many senders have it."""
    is_zlib = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        refuse("The body is not the deflate data that its Content-Encoding promises.")
    if len(plain) <= limit and not stream.eof:
        refuse("The body is not whole: its deflate data ends too early.")
    if stream.unused_data:
        refuse("The body is not the deflate data that its Content-Encoding promises.")
    return plain


def _text(body: bytes) -> str:
    try:
        text = str(body, "utf-8")
    except UnicodeDecodeError as error:
        refuse(f"The body is not UTF-8: byte 0x{body[error.start]:02x} at position {error.start}.")
    text = text.removeprefix("\ufeff")
    if not text or text.isspace():
        refuse("The body is empty: a JSON object, form fields or XML are expected.")
    return text


def _parse_form(text: str) -> dict[str, Any]:
    if text.lstrip()[0] in "{[":
        refuse(f"The body looks like JSON, but its content type is {_FORM_TYPE}: send application/json.")
    root = _Node()
    for name, value in _fields(text):
        path = _path(name)
        node = root.members.setdefault(path[0], _Node())
        for position, part in enumerate(path[1:], start=2):
            node = _child(node, part, path[position:], name)
        if node.members or node.rows:
            _refuse_both(name)
        node.texts.append(value)
    return {name: _value(node) for name, node in root.members.items()}


@dataclass(slots=True)
class _Node:
    """One place in a form: texts (`a=1`), members (`a[b]=1`) or rows (`a[]=1`), never two of them."""

    texts: list[str] = field(default_factory=list)
    members: dict[str, _Node] = field(default_factory=dict)
    rows: list[_Node] = field(default_factory=list)


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError:
        refuse("The body is a form whose percent-encoded bytes are not UTF-8.")
    except ValueError:
        refuse(f"The body is a form of more than {MAX_FORM_FIELDS} fields.")


def _path(name: str) -> list[str]:
    """`a[b][]` as `["a", "b", ""]`; brackets that do not pair are part of the name."""
    match = _BRACKETED.fullmatch(name)
    path = [match[1], *_BRACKET.findall(match[2])] if match else [name]
    if len(path) > MAX_FORM_DEPTH:
        refuse(f"The body is a form that is nested deeper than {MAX_FORM_DEPTH} levels.")
    return path


def _child(node: _Node, part: str, rest: Sequence[str], name: str) -> _Node:
    if node.texts or (node.rows if part else node.members):
        _refuse_both(name)
    if part:
        return node.members.setdefault(part, _Node())
    # Rails writes a list of objects as a[][x]=1&a[][y]=2&a[][x]=3: a name that comes again starts again.
    if not rest or not node.rows or _holds(node.rows[-1], rest):
        node.rows.append(_Node())
    return node.rows[-1]


def _holds(row: _Node, path: Sequence[str]) -> bool:
    for part in path:
        if part not in row.members:
            return False
        row = row.members[part]
    return True


def _value(node: _Node) -> Any:
    if node.texts:
        return node.texts[0] if len(node.texts) == 1 else node.texts
    if node.rows:
        return [_value(row) for row in node.rows]
    values = {name: _value(member) for name, member in node.members.items()}
    is_list = list(values) == [str(position) for position in range(len(values))]
    return list(values.values()) if is_list else values


def _refuse_both(name: str) -> NoReturn:
    refuse(f"The body is a form that gives {shorten(name)} both as a text and as a group of fields.")


def _parse_json(text: str) -> Any:
    try:
        payload = _JSON.decode(text)
    except JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some end with it: "Unterminated string starting at"
        refuse(f"The body is not JSON: {what} at line {error.lineno} column {error.colno}.")
    except RecursionError:
        refuse(_TOO_DEEP)
    except ValueError:  # int() refuses longer texts, as their conversion takes quadratic time
        refuse("The body holds a whole number of thousands of digits.")
    if not isinstance(payload, (dict, list)):
        refuse(f"The body is {_KINDS.get(type(payload), 'null')}: a JSON object is expected.")
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(payload):
        refuse(_TOO_DEEP)
    if "\\ud" in text or "\\uD" in text:
        _refuse_lone_surrogates(payload)
    return payload


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        refuse(f"The body has an object that names {shorten(twice)} twice.")
    return members


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        refuse(f"The body holds a number that is too large: {shorten(text)}.")
    return number


def _constant(text: str) -> NoReturn:
    refuse(f"The body is not JSON: {text} is not a JSON number.")


def _is_too_deep(payload: Any) -> bool:
    """Level by level and without recursion: its cost is that of the nodes, whatever their shape."""
    level = [payload]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _refuse_lone_surrogates(payload: Any) -> None:
    """Half a character can be written as an escape, but never be stored or sent as UTF-8."""
    try:
        json.dumps(payload, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        refuse(f"The body holds half of a character: {half} without its other half.")


_JSON = JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number"}
_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."
