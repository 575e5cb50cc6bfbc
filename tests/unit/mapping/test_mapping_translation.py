"""What a mapping makes of an event: an update, ignored with the reason, or dead with the cause."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from integration.core.values import Asked, FieldChange, Identifier, Translation
from tests.unit.mapping.mapping_document import (
    ARRIVED,
    Load,
    Translate,
    cause_of,
    changes_of,
    document,
    reason_of,
)

PLACE = "mappings/acme/mapping.yaml"
PAID = {"type": "paid", "email": "jane@example.com", "plan": "Pro"}


def dead(translation: Translation) -> tuple[str, str]:
    cause = cause_of(translation)
    assert cause.cure.endswith("replay")
    return cause.code, cause.detail


class TestRules:
    def test_a_matching_rule_makes_an_update(self, translate: Translate) -> None:
        result = translate(PAID)

        asked = Asked(
            (Identifier("email", "jane@example.com"),),
            (FieldChange("plan", "Pro", "latest", f"{PLACE}:6", "r"),),
        )
        assert result == Translation("paid", ARRIVED, asked)

    @pytest.mark.parametrize(
        ("events", "applies"),
        [
            (["paid"], True),
            (["pai"], False),
            (["PAID"], False),
            (["*id"], True),
            (["pa?d"], True),
            (["x", "p*"], True),
            (["pa.d"], False),
        ],
    )
    def test_events_are_globs(self, events: list[str], applies: bool, translate: Translate) -> None:
        result = translate(PAID, rules=[{"name": "r", "events": events, "set": {"plan": "plan"}}])

        assert (reason_of(result) is None) == applies

    def test_an_event_without_a_rule_is_ignored(self, translate: Translate) -> None:
        rules = [{"name": "r", "events": ["refunded"], "set": {"plan": "plan"}}]

        result = translate(PAID, rules=rules)

        assert reason_of(result) == "no rule for event type paid"
        assert (result.type, result.occurred_at) == ("paid", ARRIVED)

    def test_an_event_without_a_rule_needs_neither_time_nor_lead(self, translate: Translate) -> None:
        event = {"type": "type", "time": {"from": "created", "as": "unix_seconds"}}
        rules = [{"name": "r", "events": ["refunded"], "set": {"plan": "plan"}}]

        result = translate({"type": "ping"}, event=event, rules=rules)

        assert reason_of(result) == "no rule for event type ping"
        assert result.occurred_at is None

    def test_an_event_whose_conditions_fail_is_ignored_with_the_reasons(self, translate: Translate) -> None:
        rules = [
            {"name": "live", "events": ["*"], "when": {"livemode": True}, "set": {"plan": "plan"}},
            {"name": "rich", "events": ["*"], "when": {"amount": {"above": 5}}, "set": {"plan": "plan"}},
            {"name": "odd", "events": ["*"], "when": "odd", "set": {"plan": "plan"}},
            {"name": "no", "events": ["*"], "when": {"not": {"type": "paid"}}, "set": {"plan": "plan"}},
            {
                "name": "any",
                "events": ["*"],
                "when": {"any": [{"a": {"in": [1, "b"]}}, {"b": {"exists": True}}]},
                "set": {"plan": "plan"},
            },
        ]

        result = translate({**PAID, "amount": "few", "a": 2, "b": ""}, rules=rules)

        assert reason_of(result) == (
            "no rule's condition held: live: livemode is absent, wanted true;"
            " rich: amount is 'few', wanted above 5; odd: odd gives absent; no: type 'paid' holds;"
            " any: none of: a is 2, wanted in [1, 'b']; b is '', wanted there"
        )

    def test_several_rules_apply_and_the_later_one_wins_a_field(self, translate: Translate) -> None:
        rules = [
            {"name": "one", "events": ["paid"], "set": {"plan": {"value": "first"}, "city": "city"}},
            {"name": "two", "events": ["p*"], "set": {"plan": {"value": "second"}, "city": "gone"}},
        ]

        result = translate({**PAID, "city": "Berlin"}, rules=rules)

        assert {change.field: (change.value, change.rule) for change in changes_of(result)} == {
            "plan": ("second", "two"),
            "city": ("Berlin", "one"),
        }

    def test_text_too_long_for_a_regular_expression_does_not_match(self, translate: Translate) -> None:
        rules = [{"name": "r", "events": ["*"], "when": {"note": {"matches": "x"}}, "set": {"plan": "plan"}}]

        assert reason_of(translate({**PAID, "note": "x" * 10_000}, rules=rules)) is None
        assert reason_of(translate({**PAID, "note": "x" * 10_001}, rules=rules)) == (
            "no rule's condition held: r: note is text of more than 10,000 characters, wanted matches 'x'"
        )


class TestEvent:
    TIME: ClassVar[dict[str, Any]] = {"type": "type", "time": {"from": "created", "as": "iso8601"}}

    def test_without_event_time_it_is_that_of_arrival(self, translate: Translate) -> None:
        assert translate(PAID).occurred_at == ARRIVED

    def test_event_time_keeps_microseconds(self, translate: Translate) -> None:
        result = translate({**PAID, "created": "2011-12-07T21:39:14.123456789Z"}, event=self.TIME)

        assert result.occurred_at == 1_323_293_954_123_456

    @pytest.mark.parametrize(
        ("payload", "kind"), [({}, "absent"), ({"created": None}, "null"), ({"created": ""}, "empty text")]
    )
    def test_a_missing_event_time_is_a_dead_letter(
        self, payload: dict[str, Any], kind: str, translate: Translate
    ) -> None:
        result = translate({**PAID, **payload}, event=self.TIME)

        assert dead(result) == ("missing_event_time", f"{PLACE}:4: event.time: created is {kind}")

    def test_a_wrong_event_time_is_a_dead_letter(self, translate: Translate) -> None:
        result = translate({**PAID, "created": "soon"}, event=self.TIME)

        assert dead(result) == (
            "wrong_type",
            f"{PLACE}:4: event.time: expected a time like 2026-11-23T10:00:00Z, found 'soon' (from created)",
        )

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (None, "type is null"),
            ("", "type is empty text"),
            ("x" * 201, "type is not a printable text of at most 200 characters"),
            ("a\x00b", "expected text of Unicode characters other than NUL, found 'a\\x00b' (from type)"),
        ],
    )
    def test_an_event_without_a_type_is_a_dead_letter(
        self, value: Any, why: str, translate: Translate
    ) -> None:
        code, detail = dead(translate({**PAID, "type": value}))

        assert detail == f"{PLACE}:4: event.type: {why}"
        assert code == ("wrong_type" if "expected" in why else "missing_event_type")

    def test_a_type_may_be_joined_and_needs_all_parts(self, translate: Translate) -> None:
        event = {"type": {"join": ["resource", "action"], "with": "."}}

        assert translate({**PAID, "resource": "bill", "action": "paid"}, event=event).type == "bill.paid"
        code, detail = dead(translate({**PAID, "resource": "bill"}, event=event))
        assert code == "missing_event_type"
        assert detail == f"{PLACE}:4: event.type: resource is 'bill', action is absent"


class TestLead:
    LEAD: ClassVar[dict[str, Any]] = {
        "guid": "guid",
        "email": {"from": ["email", "receipt"], "clean": ["trim", "lower"]},
        "keys": {"acme_customer": "customer"},
        "contact_id": "contact",
    }

    def test_identifiers_are_in_the_order_of_the_file(self, translate: Translate) -> None:
        payload = {"type": "paid", "contact": 7, "customer": "c1", "email": " ", "receipt": " J@X.Org "}

        result = translate(payload, lead=self.LEAD)

        assert isinstance(result.meaning, Asked)
        assert result.meaning.identifiers == (
            Identifier("email", "j@x.org"),
            Identifier("acme_customer", "c1"),
            Identifier("contact_id", "7"),
        )

    def test_without_any_identifier_the_event_is_a_dead_letter(self, translate: Translate) -> None:
        result = translate({"type": "paid"}, lead=self.LEAD)

        assert dead(result) == (
            "missing_lead",
            (
                f"{PLACE}:5: no identifier of the lead in the event; tried lead.guid (guid), lead.email"
                " (email or receipt), lead.keys.acme_customer (customer), lead.contact_id (contact)"
            ),
        )
        assert (result.type, result.occurred_at) == ("paid", ARRIVED)

    def test_an_identifier_of_the_wrong_type_is_a_dead_letter(self, translate: Translate) -> None:
        result = translate({"type": "paid", "email": "a@b", "customer": {"id": 1}}, lead=self.LEAD)

        assert dead(result) == (
            "wrong_type",
            (
                f"{PLACE}:5: lead.keys.acme_customer: expected text, a number or a boolean, found an object"
                " with the keys 'id' (from customer)"
            ),
        )

    def test_an_identifier_may_be_required(self, translate: Translate) -> None:
        lead = {"guid": {"from": "guid", "missing": "dead_letter"}, "email": "email"}

        assert dead(translate(PAID, lead=lead)) == (
            "missing_value",
            f"{PLACE}:5: lead.guid: guid is absent",
        )


class TestDeadFields:
    def one(self, spec: Any, payload: dict[str, Any], translate: Translate, **blocks: Any) -> tuple[str, str]:
        rules = [{"name": "r", "events": ["*"], "set": {"plan": spec}}]
        result = translate({"type": "paid", "email": "a@b", **payload}, rules=rules, **blocks)
        assert changes_of(result) == ()
        return dead(result)

    @pytest.mark.parametrize(
        ("spec", "value", "words"),
        [
            ({"from": "v", "as": "integer"}, "abc", "expected a whole number, found 'abc'"),
            ({"from": "v", "as": "integer"}, 2**63, "found a number of more than 64 bit"),
            ({"from": "v", "as": "boolean"}, [], "expected true or false, found a list of 0"),
            ({"from": "v", "as": "text"}, {}, "expected text, a number or a boolean, found an empty object"),
            (
                {"from": "v", "as": "unix_seconds"},
                1758999998000,
                "found 1758999998000, which is after the year 9999; try `as: unix_millis`",
            ),
            *(
                (
                    {"from": "v", "as": "iso8601"},
                    text,
                    f"expected a time like 2026-11-23T10:00:00Z, found '{text}'",
                )
                for text in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")  # beyond the calendar
            ),
            (
                {"from": "v", "as": "date", "format": "%d.%m.%Y"},
                "2026-11-23",
                "expected a date like 01.01.1970 (format %d.%m.%Y), found '2026-11-23'",
            ),
            ({"from": "v", "as": "decimal"}, "1e999", "expected a number below 1e308, found 1E+999"),
            ("v", "\ud800", "expected text of Unicode characters other than NUL, found '\\ud800'"),
            ("v", "x" * 999 + "\x00", f"found '{'x' * 78}…"),
        ],
    )
    def test_a_value_of_the_wrong_type(self, spec: Any, value: Any, words: str, translate: Translate) -> None:
        code, detail = self.one(spec, {"v": value}, translate)

        assert code == "wrong_type"
        assert detail.startswith(f"{PLACE}:6: rules[0].set.plan: expected ")
        assert detail.endswith(f"{words} (from v)")

    def test_an_unknown_currency(self, translate: Translate) -> None:
        spec = {"from": "v", "as": "minor_units", "currency": "c"}

        for payload, found in [({"c": "XYZ"}, "'XYZ'"), ({}, "none"), ({"c": ""}, "none")]:
            assert self.one(spec, {"v": 5, **payload}, translate) == (
                "wrong_type",
                (
                    f"{PLACE}:6: rules[0].set.plan: expected a currency code of ISO 4217 such as USD,"
                    f" found {found} (from v)"
                ),
            )

    def test_a_value_that_is_not_in_the_table(self, translate: Translate) -> None:
        spec = {"from": "price", "table": "plans"}

        assert self.one(spec, {"price": "p9"}, translate, tables={"plans": {"p1": "Pro"}}) == (
            "unknown_table_value",
            f"{PLACE}:6: rules[0].set.plan: 'p9' is not in the table plans (from price)",
        )

    def test_a_missing_value(self, translate: Translate) -> None:
        spec = {"from": ["a", "b.c"], "missing": "dead_letter"}

        assert self.one(spec, {"a": None, "b": {}}, translate) == (
            "missing_value",
            f"{PLACE}:6: rules[0].set.plan: a is null, b.c is absent",
        )

    def test_an_expression_that_fails(self, translate: Translate) -> None:
        code, detail = self.one("sum(v)", {"v": "x"}, translate)

        assert code == "expression_failed"
        assert detail.startswith(f"{PLACE}:6: rules[0].set.plan: sum(v) cannot be evaluated: ")

    def test_a_condition_that_fails(self, translate: Translate) -> None:
        rules = [{"name": "r", "events": ["*"], "when": "a > `1`", "set": {"plan": "plan"}}]

        code, detail = dead(translate({**PAID, "a": "x"}, rules=rules))

        assert code == "expression_failed"
        assert detail.startswith(f"{PLACE}:6: rule 'r': when: a > `1` cannot be evaluated: ")

    def test_all_bad_values_are_told_at_once(self, translate: Translate) -> None:
        sets = {"score": {"from": "a", "as": "integer"}, "city": "city", "zip": "b"}

        result = translate(
            {**PAID, "a": "x", "b": [], "city": "Rome"},
            rules=[{"name": "r", "events": ["*"], "set": sets}],
        )

        assert changes_of(result) == ()
        assert dead(result) == (
            "wrong_type",
            (
                f"{PLACE}:6: rules[0].set.score: expected a whole number, found 'x' (from a);"
                f" {PLACE}:6: rules[0].set.zip: expected text, a number or a boolean, found a list of 0"
                " (from b)"
            ),
        )


class TestTrace:
    def test_every_step_is_told(self, translate: Translate) -> None:
        rules = [
            {"name": "other", "events": ["refunded"], "set": {"plan": "plan"}},
            {"name": "rich", "events": ["*"], "when": {"amount": {"above": 5}}, "set": {"plan": "plan"}},
            {
                "name": "paid",
                "events": ["paid"],
                "when": {"amount": {"above": 0}},
                "set": {
                    "closedAt": {"from": "created", "as": "unix_seconds"},
                    "city": {"from": ["a", "b"], "clean": ["trim"]},
                    "plan": {"from": "price", "table": "plans", "otherwise": "skip"},
                    "zip": {"from": "zip", "missing": "clear"},
                    "score": {"value": 5, "when": {"livemode": True}},
                    "state": {"from": "amount", "as": "date"},
                },
            },
        ]
        payload = {**PAID, "amount": 1, "created": 1323293954, "b": " ", "price": "p9"}

        result = translate(
            payload, trace=True, rules=rules, tables={"plans": {"p1": "Pro"}},
            lead={"guid": "guid", "email": "email"},
        )  # fmt: skip

        assert [(step.path, step.text) for step in result.steps] == [
            ("event.type", "'paid' (from type)"),
            ("rules[0]", "rule 'other' does not apply: it is for refunded"),
            ("rules[1]", "rule 'rich' does not apply: amount is 1, wanted above 5"),
            ("rules[2]", "rule 'paid' applies: amount above 0"),
            ("lead.guid", "skipped: guid is absent"),
            ("lead.email", "'jane@example.com' (from email)"),
            ("rules[2].set.closedAt", "'1323293954000' (from created: 1323293954)"),
            ("rules[2].set.city", "skipped: a is absent, b is empty text"),
            ("rules[2].set.plan", "skipped: price is 'p9', which is not in the table"),
            ("rules[2].set.zip", "cleared: zip is absent"),
            ("rules[2].set.score", "skipped: livemode is absent, wanted true"),
            (
                "rules[2].set.state",
                (
                    f"cannot be used: {PLACE}:6: rules[2].set.state: expected a date like 1970-01-01 (format"
                    " %Y-%m-%d), found 1 (from amount)"
                ),
            ),
        ]
        assert {step.place for step in result.steps} == {f"{PLACE}:{line}" for line in (4, 5, 6)}

    def test_a_trace_changes_nothing(self, translate: Translate) -> None:
        traced = translate(PAID, trace=True)

        assert changes_of(traced) == changes_of(translate(PAID))


class TestMapping:
    def test_what_the_file_says_is_there(self, load: Load) -> None:
        mapping = load(
            document(
                title="Acme",
                respond={"status": 202, "body": "[accepted]"},
                lead={"email": "email", "create": True},
                tests=[
                    {
                        "name": "a payment",
                        "given": "examples/paid.json",
                        "headers": {"X-Topic": "paid"},
                        "lead_before": {"plan": None},
                        "expect": {"plan": "Pro"},
                    },
                    {"name": "a ping", "given": "examples/paid.json", "expect_ignored": True},
                ],
                verify={"scheme": "stripe", "secrets": ["A", "B"], "tolerance": 60},
            )
        )

        assert (mapping.source, mapping.title, mapping.file) == ("acme", "Acme", PLACE)
        assert mapping.verify.options == {"scheme": "stripe", "tolerance": 60}
        assert mapping.verify.secrets == ("A", "B")
        assert mapping.respond == {"status": 202, "body": "[accepted]"}
        assert mapping.creates_leads
        assert [(key.kind, key.part.value.label) for key in mapping.lead] == [("email", "email")]
        payment, ping = mapping.tests
        assert (payment.headers, payment.lead_before, payment.expect) == (
            {"x-topic": "paid"},
            {"plan": None},
            {"plan": "Pro"},
        )
        assert (payment.given.name, payment.place) == ("paid.json", f"{PLACE}:9")
        assert (ping.expect, ping.expect_ignored, ping.expect_dead) == (None, True, None)

    def test_the_version_tells_contents_apart(self, load: Load) -> None:
        first, again, other = (load(document(title=title)).version for title in "AAB")

        assert first == again != other
        assert len(first) == 12


class TestIncoming:
    def one(self, mapping: Any, payload: Any, **headers: str) -> Any:
        (event,) = mapping.incoming(payload, headers, "", ARRIVED)
        return event

    def test_a_request_is_one_event(self, load: Load) -> None:
        event = {"id": "id", "type": "type", "time": {"from": "created", "as": "unix_seconds"}}

        found = self.one(load(document(event=event)), {"id": 42, "type": "paid", "created": 1})

        assert (found.position, found.dedup_key, found.type, found.occurred_at) == (
            0,
            "42",
            "paid",
            1_000_000,
        )

    def test_type_and_time_that_cannot_be_used_are_none(self, load: Load) -> None:
        event = {"type": "type", "time": {"from": "created", "as": "unix_seconds"}}

        found = self.one(load(document(event=event)), {"type": [], "created": "soon"})

        assert (found.type, found.occurred_at) == (None, None)

    def test_the_id_may_stand_in_a_header(self, load: Load) -> None:
        mapping = load(document(event={"id": {"header": "Webhook-Id"}, "type": "type"}))

        assert self.one(mapping, {}, **{"webhook-id": "msg_1"}).dedup_key == "msg_1"

    def test_a_joined_id_needs_all_its_parts(self, load: Load) -> None:
        mapping = load(document(event={"id": {"join": ["ref", "code"], "with": ":"}, "type": "type"}))

        assert self.one(mapping, {"ref": "a", "code": "b"}).dedup_key == "a:b"
        assert self.one(mapping, {"ref": "a"}).dedup_key.startswith("sha256:")

    def test_without_an_id_the_content_is_the_key(self, load: Load) -> None:
        mapping = load(document())
        key = self.one(mapping, {"a": [1, {"b": None, "c": "x"}]}).dedup_key

        assert len(key) == len("sha256:") + 64
        assert self.one(mapping, {"a": [1, {"c": "x", "b": None}]}).dedup_key == key
        others: list[Any] = [{"a": [True, {"b": None, "c": "x"}]}, {"a": [1]}, {"a": "1"}, {"a": 1}, {}, []]
        keys = {self.one(mapping, other).dedup_key for other in others}
        assert len(keys - {key}) == len(others)

    @pytest.mark.parametrize("id_", ["x" * 201, "a\x00b", "\ud800", "a\nb"])
    def test_an_id_that_is_too_long_or_not_printable_is_hashed(self, id_: str, load: Load) -> None:
        mapping = load(document(event={"id": "id", "type": "type"}))

        assert self.one(mapping, {"id": id_}).dedup_key.startswith("sha256:")

    def test_content_of_any_depth_has_a_key(self, load: Load) -> None:
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]

        assert self.one(load(document()), deep).dedup_key.startswith("sha256:")


class TestEach:
    EVENT: ClassVar[dict[str, Any]] = {"id": "id", "type": "kind", "each": "events"}
    BODY: ClassVar[dict[str, Any]] = {
        "account": "acme",
        "events": [
            {"id": "e1", "kind": "paid", "email": "a@x"},
            {"kind": "paid", "email": "b@x"},
            {"kind": "paid", "email": "c@x"},
        ],
    }

    def test_every_element_is_an_event_of_its_own(self, load: Load) -> None:
        rules = [{"name": "r", "events": ["paid"], "set": {"city": "$.account", "plan": "email"}}]
        mapping = load(document(event=self.EVENT, rules=rules))

        events = mapping.incoming(self.BODY, {}, "", ARRIVED)
        results = [
            mapping.translate(mapping.context(self.BODY, event.position, {}, "", ARRIVED)) for event in events
        ]

        assert [event.position for event in events] == [0, 1, 2]
        assert events[0].dedup_key == "e1"
        assert len({event.dedup_key for event in events}) == 3
        assert [[change.value for change in changes_of(result)] for result in results] == [
            ["acme", "a@x"],
            ["acme", "b@x"],
            ["acme", "c@x"],
        ]

    def test_an_id_of_the_request_is_told_apart_by_position(self, load: Load) -> None:
        mapping = load(document(event={**self.EVENT, "id": {"header": "Delivery"}}))

        events = mapping.incoming(self.BODY, {"delivery": "d1"}, "", ARRIVED)

        assert [event.dedup_key for event in events] == ["d1#0", "d1#1", "d1#2"]

    def test_an_empty_array_has_no_events(self, load: Load) -> None:
        mapping = load(document(event=self.EVENT))

        assert mapping.incoming({"events": []}, {}, "", ARRIVED) == ()

    @pytest.mark.parametrize("body", [{"events": {"id": "e1"}}, {}, [], {"events": None}])
    def test_what_is_no_array_is_one_event_that_becomes_a_dead_letter(self, body: Any, load: Load) -> None:
        mapping = load(document(event=self.EVENT))

        (event,) = mapping.incoming(body, {}, "", ARRIVED)
        result = mapping.translate(mapping.context(body, event.position, {}, "", ARRIVED))

        assert dead(result) == (
            "missing_event_type",
            f"{PLACE}:4: event.each: events is not a list in this request",
        )
