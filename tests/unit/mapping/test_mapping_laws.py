"""Laws of translation: it never raises, kinds of nothing stay apart, and YAML's traps stay shut."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.core.values import Asked, EventContext, IncomingEvent, SetAside, Translation
from integration.mapping import SourceMapping, load_mapping
from tests.unit.mapping.mapping_document import (
    ARRIVED,
    Load,
    Translate,
    cause_of,
    changes_of,
    document,
    reason_of,
)

NAMES = st.sampled_from(["a", "b", "c", "type", "id", "created", "email", "amount", "currency", "events"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats()
    | st.text()
    | st.sampled_from(
        [
            "usd",
            "JPY",
            "12",
            "1e400",
            "-0",
            "2026-11-23",
            "2026-11-23T10:00:00+23:59",
            "0001-01-01",
            "\ud800",
            "\0",
        ]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)

CONVERSIONS = ["text", "integer", "decimal", "boolean", "unix_seconds", "unix_millis", "iso8601", "date"]
EVERYTHING = document(
    event={
        "id": {"join": ["id", "a.b"], "with": "-"},
        "type": {"from": ["type", "a"], "missing": {"value": "x"}},
        "time": {"from": ["created", "a"], "as": "iso8601"},
    },
    lead={"email": {"from": ["email", "b"], "clean": ["trim", "lower", "digits"]}, "keys": {"k": "id"}},
    tables={"t": {"12": "twelve", "true": 3, "usd": False}},
    rules=[
        {
            "name": "conditional",
            "events": ["*"],
            "when": {
                "any": [
                    {"amount": {"above": 1, "at_most": 10**40}, "a": {"not_in": [1, "x", None]}},
                    {"not": {"a": {"contains": "x", "starts_with": "y", "matches": "^(a|b)+$"}}},
                    "a > b",
                    "contains(a, 'x')",
                ]
            },
            "set": {name: {"from": ["a", "amount"], "as": name} for name in CONVERSIONS},
        },
        {
            "name": "all",
            "events": ["*"],
            "set": {
                "money": {"from": "amount", "as": "minor_units", "currency": {"from": ["currency", "a"]}},
                "zoned": {"from": "a", "as": "date", "format": "%Y-%m-%d", "zone": "America/New_York"},
                "listed": {"from": "a", "table": "t", "otherwise": "clear", "scale": 0.1},
                "scaled": {"from": "amount", "scale": 1e10, "missing": {"value": 5}},
                "joined": {"join": ["a", {"from": "b", "as": "decimal"}, {"query": "q"}]},
                "split": "split(a, ' ')[0]",
                "projected": "events[?a == b].c | [0]",
                "body": "$.a.b",
                "plain": {"from": "a", "when": {"b": {"exists": True}}},
                "header": {"header": "X-A", "clean": ["upper"]},
            },
        },
    ],
)


@pytest.fixture(scope="module")
def mappings(tmp_path_factory: pytest.TempPathFactory) -> tuple[SourceMapping, SourceMapping]:
    """A mapping with everything in it, and the same for an array of events."""
    file = tmp_path_factory.mktemp("acme") / "mapping.yaml"
    file.write_text(EVERYTHING)
    single = load_mapping(file, "mapping.yaml", lambda _: None)
    file.write_text(EVERYTHING.replace('event: {"id"', 'event: {"each": "events", "id"'))
    return single, load_mapping(file, "mapping.yaml", lambda _: None)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(payload=JSON, query=st.text(), header=st.text())
def test_any_payload_gives_a_translation(
    mappings: tuple[SourceMapping, SourceMapping], payload: Any, query: str, header: str
) -> None:
    for mapping in mappings:
        for event in mapping.incoming(payload, {"x-a": header}, query, ARRIVED):
            context = mapping.context(payload, event.position, {"x-a": header}, query, ARRIVED)
            result = mapping.translate(context)
            traced = mapping.translate(context, trace=True)
            check_translation(event, result)
            assert replace(traced, steps=()) == result


def check_translation(event: IncomingEvent, result: Translation) -> None:
    assert len(event.dedup_key) <= 220
    assert event.dedup_key.isprintable()
    meaning = result.meaning
    if isinstance(meaning, SetAside):
        assert meaning.asked is None
        assert meaning.cause.detail.startswith("mapping.yaml:")
        assert "cannot be translated" not in meaning.cause.detail
        meaning.cause.detail.encode()
        return
    assert event.type == result.type
    if isinstance(meaning, Asked):
        assert event.occurred_at == result.occurred_at
        assert meaning.identifiers
        assert all(identifier.value for identifier in meaning.identifiers)
        values = {change.field: change.value for change in meaning.changes}
        assert len(values) == len(meaning.changes)
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
        assert "" not in [value for value in values.values() if isinstance(value, str)]


def test_even_a_fault_of_ours_is_a_dead_letter(load: Load) -> None:
    result = load(document()).translate(EventContext({"type": "x"}, {}, None, "", "late"))  # type: ignore[arg-type]
    assert isinstance(result.meaning, SetAside)
    result = load(document(event={"type": {"header": "T"}})).translate(
        EventContext({}, {}, None, "", 0)  # type: ignore[arg-type]
    )
    assert cause_of(result).code == "expression_failed"
    assert "the event cannot be translated: AttributeError" in cause_of(result).detail


KINDS: list[tuple[str, dict[str, Any], Any]] = [
    ("absent", {}, None),
    ("null", {"v": None}, None),
    ("empty text", {"v": ""}, None),
    ("0", {"v": 0}, 0),
    ("false", {"v": False}, False),
]


class TestKindsOfNothing:
    @pytest.mark.parametrize(("kind", "payload", "value"), KINDS, ids=[kind for kind, _, _ in KINDS])
    def test_only_values_are_set(
        self, kind: str, payload: dict[str, Any], value: Any, translate: Translate
    ) -> None:
        rules = [{"name": "r", "events": ["*"], "set": {"plan": "v"}}]

        result = translate({"type": "t", "email": "a@b", **payload}, rules=rules, trace=True)

        assert [change.value for change in changes_of(result)] == ([] if value is None else [value])
        expected = f"skipped: v is {kind}" if value is None else f"{kind} (from v)"
        assert result.steps[-1].text == expected

    @pytest.mark.parametrize(
        ("wanted", "holds_for"),
        [
            ({"equals": None}, {"null"}),
            ({"equals": ""}, {"empty text"}),
            ({"equals": 0}, {"0"}),
            ({"equals": False}, {"false"}),
            ({"exists": True}, {"0", "false"}),
            ({"exists": False}, {"absent", "null", "empty text"}),
            ({"in": [None, ""]}, {"null", "empty text"}),
            ({"not": None}, {"absent", "empty text", "0", "false"}),
            ({"not_in": [0, False]}, {"absent", "null", "empty text"}),
            ({"at_most": 0}, {"0"}),
        ],
        ids=lambda case: str(sorted(case)) if isinstance(case, set) else str(case),
    )
    def test_conditions_tell_them_apart(self, wanted: Any, holds_for: set[str], translate: Translate) -> None:
        rules = [{"name": "r", "events": ["*"], "when": {"v": wanted}, "set": {"plan": True}}]

        results = {
            kind: translate({"type": "t", "email": "a@b", **payload}, rules=rules)
            for kind, payload, _ in KINDS
        }

        assert {kind for kind, result in results.items() if reason_of(result) is None} == holds_for


def test_words_that_other_yaml_reads_as_booleans_and_dates_stay_text(load: Load) -> None:
    mapping = load(
        document(rules=...)
        + """
tables: {countries: {NO: Norway, on: On, 1: One, true: Yes}}
rules:
- name: NO
  events: [on, off, y]
  when: {day: 2026-11-23}
  set:
    country: {from: country, table: countries}
    flag: {value: off}
"""
    )
    result = mapping.translate(
        mapping.context(
            {"type": "off", "email": "a@b", "country": "NO", "day": "2026-11-23"}, 0, {}, "", ARRIVED
        )
    )

    assert [change.value for change in changes_of(result)] == ["Norway", "off"]
    assert mapping.rules[0].name == "NO"


def test_bytes_of_the_file_make_no_difference_to_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + document().replace("\n", "\r\n").encode())

    assert load_mapping(file, "m.yaml", lambda _: None).rules[0].place == "m.yaml:6"
