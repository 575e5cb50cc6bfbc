"""Value specs: how the value of a field, an identifier or an event key comes out of an event.

A spec is compiled once to closures that run in this order: read, `clean`, `as`, `table`, `scale`. No
value at the end of reading (absent, null, "") is settled by `missing`. `otherwise` and `missing` give
final values, which are neither converted nor scaled.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from integration.core.errors import describe, shorten
from integration.core.values import EventContext
from integration.files.positions import Spot, did_you_mean
from integration.mapping import conversions
from integration.mapping.conditions import Condition, compile_condition, path_at
from integration.mapping.conversions import BadValueError, Convert, text_of
from integration.mapping.currencies import EXPONENTS
from integration.mapping.paths import ExpressionError, Nothing

Read = Callable[[EventContext], Any]
Words = Callable[[EventContext], str]
Tables = Mapping[str, Mapping[str, Any]]

SOURCES = ("from", "header", "query", "value", "join")
CLEANERS: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "lower": str.lower,
    "upper": str.upper,
    "digits": lambda text: "".join([char for char in text if char in string.digits]),
}
TIMES = ("unix_seconds", "unix_millis", "iso8601", "date")
CONVERSIONS: dict[str, Convert] = {
    "text": conversions.as_text,
    "integer": conversions.as_integer,
    "decimal": conversions.as_decimal,
    "boolean": conversions.as_boolean,
    "unix_seconds": conversions.as_unix_seconds,
    "unix_millis": conversions.as_unix_millis,
    "iso8601": conversions.as_iso8601,
}
_NO_VALUE = (Nothing.ABSENT, Nothing.NULL, Nothing.EMPTY)
_MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled value spec.

    `read` gives the value, or a `Nothing` when there is none to use; `raw` the same before it is
    converted. Both raise BadValueError or ExpressionError. In words, and never raising: `origin` says where
    the value comes from, `lacks` why there is none, `label` what the spec looks at in any event.
    `per_request` is true where all events of a request get the same value.
    """

    read: Read
    raw: Read
    origin: Words
    lacks: Words
    label: str
    per_request: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """What a value is for. `final` makes the last conversion; `whole` means that a `join` needs all parts."""

    final: Convert
    whole: bool = False


FIELD = Use(conversions.to_wire)
IDENTIFIER = Use(conversions.as_text)
EVENT_KEY = Use(conversions.as_text, whole=True)
EVENT_TIME = Use(conversions.to_micros, whole=True)
_PART = Use(lambda value, _: value)


def compile_value(node: Any, spot: Spot, tables: Tables, use: Use) -> Value:
    """Compile a value spec as the schema allows it; problems go to `spot`."""
    spec = _as_spec(node)
    bare_path = isinstance(node, str)
    source = _from(node, spot, []) if bare_path else _source(spec, spot, tables, whole=use.whole)
    convert = _conversion_chain(spec, spot, tables, use.final)
    settle = _missing(spec.get("missing", "skip"), source.lacks, use.final)
    condition = compile_condition(spec["when"], spot / "when") if "when" in spec else None

    def read(context: EventContext) -> Any:
        value = source.read(context)
        if value.__class__ is not Nothing:
            value = convert(value, context)
        if value.__class__ is Nothing and value in _NO_VALUE:
            return settle(value, context)
        return value

    if condition is None:
        return replace(source, read=read)
    return replace(source, read=_if(condition, read), lacks=_lacks_if(condition, source.lacks))


def _as_spec(node: Any) -> Mapping[str, Any]:
    if isinstance(node, dict):
        return node
    return {"from": node} if isinstance(node, str) else {"value": node}


def _if(condition: Condition, read: Read) -> Read:
    return lambda context: read(context) if condition.holds(context) else Nothing.UNWANTED


def _lacks_if(condition: Condition, lacks: Words) -> Words:
    return lambda context: lacks(context) if condition.holds(context) else condition.why_not(context)


# Where a value comes from


def _source(spec: Mapping[str, Any], spot: Spot, tables: Tables, *, whole: bool) -> Value:
    kind = next(kind for kind in SOURCES if kind in spec)
    cleaners = [CLEANERS[name] for name in spec.get("clean", ())]
    if kind == "from":
        return _from(spec[kind], spot / kind, cleaners)
    if kind == "join":
        return _join(spec, spot / kind, tables, cleaners, whole=whole)
    words = f"{kind} {shorten(spec[kind])}" if kind != "value" else "a constant"
    raw = {"header": _header, "query": _query, "value": _constant}[kind](spec[kind])
    read = _settled(raw, cleaners)
    return Value(read, read, lambda _: words, _lacks(words, read), words, per_request=True)


def _lacks(label: str, read: Read) -> Words:
    def words(context: EventContext) -> str:
        try:
            found = read(context)
        except ExpressionError as error:
            return str(error)
        return f"{label} is {found.value if isinstance(found, Nothing) else describe(found)}"

    return words


def _settled(raw: Read, cleaners: list[Callable[[str], str]]) -> Read:
    """Clean text, and tell the three kinds of no value apart."""

    def read(context: EventContext) -> Any:
        value = raw(context)
        if value is None:
            return Nothing.NULL
        if value.__class__ is str:
            for clean in cleaners:
                value = clean(value)
            return value if value else Nothing.EMPTY
        return value

    return read


def _from(paths: str | list[str], spot: Spot, cleaners: list[Callable[[str], str]]) -> Value:
    if isinstance(paths, str):
        read = _settled(path_at(paths, spot).get, cleaners)
        return Value(read, read, lambda _: paths, _lacks(paths, read), paths)
    candidates = [(text, _settled(path_at(text, spot / i).get, cleaners)) for i, text in enumerate(paths)]
    label = " or ".join(paths)

    def read_first(context: EventContext) -> Any:
        value: Any = Nothing.ABSENT
        for _, read in candidates:
            value = read(context)
            if value.__class__ is not Nothing:
                break
        return value

    def origin(context: EventContext) -> str:
        found = (text for text, read in candidates if not isinstance(read(context), Nothing))
        try:
            return next(found, label)
        except ExpressionError:
            return label

    def lacks(context: EventContext) -> str:
        return ", ".join(_lacks(text, read)(context) for text, read in candidates)

    return Value(read_first, read_first, origin, lacks, label)


def _join(
    spec: Mapping[str, Any], spot: Spot, tables: Tables, cleaners: list[Callable[[str], str]], *, whole: bool
) -> Value:
    parts = [compile_value(node, spot / i, tables, _PART) for i, node in enumerate(spec["join"])]
    separator = spec.get("with", " ")

    def raw(context: EventContext) -> Any:
        found = [part.read(context) for part in parts]
        texts = [text_of(value) for value in found if value.__class__ is not Nothing]
        if not texts or (whole and len(texts) < len(parts)):
            return Nothing.ABSENT
        return separator.join(texts)

    label = " + ".join(part.label for part in parts)
    read = _settled(raw, cleaners)

    def lacks(context: EventContext) -> str:
        return ", ".join(part.lacks(context) for part in parts)

    per_request = all(part.per_request for part in parts)
    return Value(read, read, lambda _: label, lacks, label, per_request)


def _header(name: str) -> Read:
    lowered = name.lower()
    return lambda context: context.headers.get(lowered, Nothing.ABSENT)


def _query(name: str) -> Read:
    def read(context: EventContext) -> Any:
        try:
            pairs = parse_qsl(context.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            return Nothing.ABSENT
        return next((value for key, value in pairs if key == name), Nothing.ABSENT)

    return read


def _constant(value: Any) -> Read:
    return lambda _: value


# What happens to it


def _conversion_chain(spec: Mapping[str, Any], spot: Spot, tables: Tables, final: Convert) -> Convert:
    finish = final
    if "scale" in spec:
        finish = _chain(conversions.scaled(Decimal(repr(spec["scale"]))), finish)
    if "table" in spec:
        finish = _table(spec, spot, tables, final, finish)
    return _chain(_conversion(spec, spot, tables), finish)


def _chain(first: Convert, then: Convert) -> Convert:
    return lambda value, context: then(first(value, context), context)


def _conversion(spec: Mapping[str, Any], spot: Spot, tables: Tables) -> Convert:
    name = spec.get("as")
    if name is None:
        return conversions.as_it_is
    if name == "date":
        return _date(spec, spot)
    if name == "minor_units":
        return conversions.as_minor_units(_currency(spec["currency"], spot / "currency", tables))
    return CONVERSIONS[name]


def _currency(node: Any, spot: Spot, tables: Tables) -> Read:
    if isinstance(node, str) and node in EXPONENTS:
        spot.report(f"{node} is read as a path", f"write `currency: {{value: {node}}}`")
    return compile_value(node, spot, tables, IDENTIFIER).read


def _date(spec: Mapping[str, Any], spot: Spot) -> Convert:
    format_, zone = spec.get("format", "%Y-%m-%d"), spec.get("zone", "UTC")
    problem = _format_problem(format_)
    if problem:
        (spot / "format").report(problem, "write it as for Python's strptime, e.g. '%d.%m.%Y %H:%M'")
        format_ = "%Y-%m-%d"
    try:
        return conversions.as_date(format_, ZoneInfo(zone))
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        (spot / "zone").report(f"unknown time zone {shorten(zone)}", "write one like Europe/Berlin or UTC")
        return conversions.as_date(format_, ZoneInfo("UTC"))


def _format_problem(format_: str) -> str | None:
    if not any(directive in format_ for directive in ("%Y", "%y", "%G")):
        return f"the format {shorten(format_)} has no year (%Y)"
    try:
        written = datetime(2001, 2, 3, 4, 5, 6).strftime(format_)  # noqa: DTZ001 - any moment will do
        datetime.strptime(written, format_)  # noqa: DTZ007 - only tried
    except ValueError as error:
        if "does not match" not in str(error):  # %z writes nothing for a moment without a zone
            return f"the format {shorten(format_)} cannot be used: {error}"
    return None


def _table(spec: Mapping[str, Any], spot: Spot, tables: Tables, final: Convert, finish: Convert) -> Convert:
    """Looks the value up; a row goes on to `finish`, what `otherwise` gives only to `final`."""
    name, otherwise = spec["table"], spec.get("otherwise", "dead_letter")
    if name not in tables:
        known = f"known tables: {', '.join(tables)}" if tables else "there are no `tables:` in this file"
        (spot / "table").report(f"there is no table {name!r}{did_you_mean(name, tables)}", known)
    rows = tables.get(name, {})

    def look_up(value: Any, context: EventContext) -> Any:
        found = rows.get(text_of(value), Nothing.UNLISTED)
        if found is not Nothing.UNLISTED:
            return finish(found, context)
        if otherwise == "dead_letter":
            cure = f"add it to the table {name} in the mapping, or write `otherwise:`; then replay"
            raise BadValueError("unknown_table_value", f"{describe(value)} is not in the table {name}", cure)
        return _settled_by(otherwise, Nothing.UNLISTED, final, context)

    return look_up


def _missing(action: Any, lacks: Words, final: Convert) -> Callable[[Any, EventContext], Any]:
    def settle(nothing: Nothing, context: EventContext) -> Any:
        if action == "dead_letter":
            cure = "if it may be missing, write `missing: skip` in the mapping; then replay"
            raise BadValueError("missing_value", lacks(context), cure)
        return _settled_by(action, nothing, final, context)

    return settle


def _settled_by(action: Any, nothing: Nothing, final: Convert, context: EventContext) -> Any:
    """What `skip`, `clear` or `{value: x}` gives."""
    if action == "clear":
        return Nothing.CLEARED
    return final(action["value"], context) if isinstance(action, dict) else nothing


def settles_by_clearing(spec: Mapping[str, Any]) -> bool:
    """Whether a spec may clear its field."""
    return "clear" in (spec.get("missing"), spec.get("otherwise"))
