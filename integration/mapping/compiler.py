"""Compiles the data of a mapping file; what the schema cannot say is checked on the way.

What does not fit the schema is passed over, so that everything else in the file is still checked.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from integration.core.errors import Problem
from integration.core.values import NEVER_CLEAR, BodyField, Handshake, Wire
from integration.files.positions import Key, Spot
from integration.mapping.assignments import (
    EVENT_KEY,
    EVENT_TIME,
    FIELD,
    IDENTIFIER,
    TIMES,
    Tables,
    Use,
    compile_value,
    settles_by_clearing,
)
from integration.mapping.conditions import compile_condition, path_at
from integration.mapping.fetch_spec import Fetch, compile_fetch
from integration.mapping.parts import EventKeys, FieldSetter, LeadKey, Part, Rule
from integration.mapping.source_mapping import MappingTest, Reception, SourceMapping, VerifySpec
from integration.mapping.translation import RulesFor
from integration.verify import contradictions

FieldProblem = Callable[[str], str | None]

_REMEMBERED_TYPES = 512


@dataclass(frozen=True, slots=True)
class Source:
    """What is compiled: the data of the file, where the schema found problems, the folder that the file is
    in, and who knows which fields a lead has. Problems of `tests:` are collected apart.
    """

    data: dict[str, Any]
    root: Spot
    broken: frozenset[tuple[Key, ...]]
    folder: Path
    field_problem: FieldProblem
    test_problems: list[Problem]

    @property
    def tables(self) -> Tables:
        """The tables of the file."""
        tables: Tables = self.data.get("tables", {}) if self.is_sound(self.root / "tables") else {}
        return tables

    def is_sound(self, spot: Spot) -> bool:
        """Whether the schema has nothing against what stands here or below."""
        return not any(path[: len(spot.path)] == spot.path for path in self.broken)

    def children(self, node: Any, spot: Spot) -> Iterator[tuple[Key, Any, Spot]]:
        """Key, data and position of everything directly below `node` that is sound."""
        pairs: Sequence[tuple[Key, Any]] = ()
        if isinstance(node, dict):
            pairs = tuple(node.items())
        elif isinstance(node, list):
            pairs = tuple(enumerate(node))
        for key, child in pairs:
            if self.is_sound(spot / key):
                yield key, child, spot / key

    def part(self, node: Any, spot: Spot, use: Use) -> Part:
        """A compiled value spec."""
        return Part(spot.dotted, compile_value(node, spot, self.tables, use), spot.place)


def compile_mapping(source: Source, version: str) -> SourceMapping | None:
    """The mapping; None if there are problems (they are in the root's list)."""
    data, root = source.data, source.root
    event, lead = _event(source), tuple(_lead(source))
    fetch = _fetch(source)
    rules, tests = tuple(_rules(source)), tuple(_tests(source))
    verify = _verify(source)
    if root.problems or event is None or verify is None:
        return None
    return SourceMapping(
        source=data["source"],
        title=data.get("title", data["source"]),
        file=root.shown_as,
        version=version,
        verify=verify,
        event=event,
        lead=lead,
        creates_leads=data["lead"].get("create", False),
        rules=rules,
        respond=data.get("respond"),
        fetch=fetch,
        tests=tests,
        rules_for=_rules_for(rules),
        body=BodyField(**data["body"]) if "body" in data else None,
        handshake=_handshakes(source),
    )


def compile_reception(source: Source) -> Reception | None:
    """What receiving needs, of the parts that are sound; None where it cannot be told who may send."""
    spot = source.root / "verify"
    verify = source.data.get("verify")
    if not isinstance(verify, dict) or not source.is_sound(spot) or _contradicts(verify):
        return None
    respond = source.data.get("respond") if source.is_sound(source.root / "respond") else None
    return Reception(_verify_spec(verify, spot / "secrets"), _handshakes(source), respond)


def _verify(source: Source) -> VerifySpec | None:
    spot = source.root / "verify"
    verify = source.data.get("verify")
    if not isinstance(verify, dict) or not source.is_sound(spot):
        return None
    for found in contradictions(verify):
        spot.at(found.path).report(found.message, found.cure)
    return _verify_spec(verify, spot / "secrets")


def _contradicts(verify: dict[str, Any]) -> bool:
    return any(True for _ in contradictions(verify))


def _verify_spec(verify: dict[str, Any], spot: Spot) -> VerifySpec:
    options = {key: value for key, value in verify.items() if key != "secrets"}
    return VerifySpec(options, tuple(verify["secrets"]), spot.place)


def _handshakes(source: Source) -> tuple[Handshake, ...]:
    sound = source.is_sound(source.root / "handshake")
    return tuple(_handshake(entry) for entry in (source.data.get("handshake", ()) if sound else ()))


def _handshake(entry: dict[str, Any]) -> Handshake:
    token = entry.get("token", {})
    given = {key: value for key, value in entry.items() if key != "token"}
    verified = entry.get("verified", entry.get("method", "POST") != "GET")
    return Handshake(
        **{**given, "verified": verified},
        token_query=token.get("query"),
        token_secret=token.get("secret"),
    )


def _event(source: Source) -> EventKeys | None:
    spot = source.root / "event"
    uses = {"id": EVENT_KEY, "type": EVENT_KEY, "time": EVENT_TIME}
    parts: dict[Key, Part] = {}
    each = None
    for key, node, at in source.children(source.data.get("event"), spot):
        if key in uses:
            parts[key] = source.part(node, at, uses[str(key)])
        elif key == "each":
            each = path_at(node, at)
    if "type" not in parts:
        return None
    repeats = source.data["event"].get("repeats") is True
    return EventKeys(parts["type"], parts.get("id"), parts.get("time"), each, spot.place, repeats)


def _fetch(source: Source) -> Fetch | None:
    spot = source.root / "fetch"
    node = source.data.get("fetch")
    return compile_fetch(node, spot) if isinstance(node, dict) and source.is_sound(spot) else None


def _lead(source: Source) -> Iterator[LeadKey]:
    spot = source.root / "lead"
    for key, node, at in source.children(source.data.get("lead"), spot):
        if key == "keys":
            for name, inner, inner_at in source.children(node, at):
                yield LeadKey(str(name), source.part(inner, inner_at, IDENTIFIER))
        elif key in ("guid", "contact_id", "email"):
            yield LeadKey(str(key), source.part(node, at, IDENTIFIER))


# rules


def _rules(source: Source) -> Iterator[Rule]:
    first_places: dict[str, str] = {}
    rules = source.data.get("rules")
    for i, rule in enumerate(rules if isinstance(rules, list) else ()):
        spot = source.root / "rules" / i
        if isinstance(rule, dict):
            yield _rule(source, dict(_sound_keys(source, rule, spot)), rule, spot)
            _check_name(rule.get("name"), spot / "name", first_places)


def _sound_keys(source: Source, rule: dict[str, Any], spot: Spot) -> Iterator[tuple[str, Any]]:
    for key, node, _ in source.children(rule, spot):
        yield str(key), node


def _check_name(name: Any, spot: Spot, first_places: dict[str, str]) -> None:
    if isinstance(name, str):
        if name in first_places:
            spot.report(
                f"another rule is called {name!r} too, at {first_places[name]}", "give each rule its own name"
            )
        first_places.setdefault(name, spot.place)


def _rule(source: Source, sound: dict[str, Any], rule: dict[str, Any], spot: Spot) -> Rule:
    events = tuple(sound.get("events", ()))
    when = compile_condition(sound["when"], spot / "when") if "when" in sound else None
    sets = tuple(_setters(source, rule.get("set"), spot / "set"))
    return Rule(str(sound.get("name")), events, _glob(events), when, sets, spot.place, spot.dotted)


def _setters(source: Source, fields: Any, spot: Spot) -> Iterator[FieldSetter]:
    for name in fields if isinstance(fields, dict) else ():
        _check_field(source, name, spot / name)
    for name, node, at in source.children(fields, spot):
        spec = node if isinstance(node, dict) else {}
        _check_write(spec, at)
        constants = tuple(_constants(node, source.data.get("tables")))
        yield FieldSetter(str(name), spec.get("write", "latest"), source.part(node, at, FIELD), constants)


def _constants(node: Any, tables: Any) -> Iterator[Wire]:
    """The values that stand in the file: a constant, those of a table, and what stands in for no value."""
    if isinstance(node, bool | int | float):
        yield node
    if not isinstance(node, dict):
        return
    table = tables.get(node.get("table")) if isinstance(tables, dict) else None
    stand_ins = [node.get(key) for key in ("missing", "otherwise")]
    given = [item["value"] for item in stand_ins if isinstance(item, dict) and "value" in item]
    for value in [node.get("value"), *(table.values() if isinstance(table, dict) else ()), *given]:
        if isinstance(value, str | int | float | bool):
            yield value


def _check_field(source: Source, name: str, spot: Spot) -> None:
    problem = source.field_problem(name)
    if problem:
        spot.report(problem)


def _check_write(spec: dict[str, Any], spot: Spot) -> None:
    """Write rules that can never work with what the spec gives."""
    rule = spec.get("write", "latest")
    cure = "choose another `write:`, or convert the value with `as:`"
    if rule in NEVER_CLEAR and settles_by_clearing(spec):
        (spot / "write").report(
            f"`write: {rule}` cannot clear a field", "use `write: latest`, or do not `clear`"
        )
    kind = _kind_of(spec)
    if rule in ("max", "min", "sum") and kind in ("text", "boolean"):
        (spot / "write").report(f"`write: {rule}` needs a number, and this is {kind}", cure)
    if rule == "sum" and kind == "time":
        (spot / "write").report("`write: sum` cannot add times", cure)


def _kind_of(spec: dict[str, Any]) -> str:
    """`text`, `boolean`, `time`, or "" where a spec may give numbers."""
    if "table" in spec or "scale" in spec:
        return ""
    if spec.get("as") in TIMES:
        return "time"
    if spec.get("as") in ("text", "boolean"):
        return str(spec["as"])
    if "as" not in spec and isinstance(spec.get("value"), str | bool):
        return "boolean" if isinstance(spec["value"], bool) else "text"
    return "text" if "as" not in spec and "join" in spec else ""


def _glob(patterns: Sequence[str]) -> Callable[[str], bool]:
    match = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)").match
    return lambda event_type: match(event_type) is not None


def _rules_for(rules: tuple[Rule, ...]) -> RulesFor:
    @lru_cache(maxsize=_REMEMBERED_TYPES)
    def rules_for(event_type: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if rule.applies_to(event_type))

    return rules_for


# tests


def _tests(source: Source) -> Iterator[MappingTest]:
    spot = source.root.collecting(source.test_problems) / "tests"
    for _, test, at in source.children(source.data.get("tests"), spot):
        files = {key: source.folder / test[key] for key in ("given", "fetched") if key in test}
        for key, file in files.items():
            if not file.is_file():
                (at / key).report(
                    f"there is no file {test[key]}",
                    f"put it under {source.folder.name}/, or correct the name",
                )
        for name in test.get("expect", ()):
            _check_field(source, name, at / "expect" / name)
        headers = {name.lower(): text for name, text in test.get("headers", {}).items()}
        yield MappingTest(**{**test, **files, "headers": headers, "place": at.place})
