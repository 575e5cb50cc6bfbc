"""Everything wrong with a mapping file is told at once: where, in words, and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integration.mapping import MappingError, load_mapping
from integration.mapping.language import FORM
from tests.unit.mapping.mapping_document import Load, Problems, document

VERIFY = {"scheme": "stripe", "secrets": ["ACME_SECRET"]}
NOT_SETTABLE = "isCustomer cannot be set: HubSpot derives it from closedAt; set closedAt instead"
TIME_EXAMPLE = "write how the time is written, e.g. `time: {from: created, as: unix_seconds}`"
READ_CURE = "write a path, e.g. data.object.id, or `{value: ...}` for a constant"
CONSTANT_CURE = (
    "write text, a number, true or false; to clear a field use `missing: clear` or `otherwise: clear`"
)
QUOTES_CURE = 'names with other characters than letters, digits and _ need double quotes: data."first-name"'
WHEN_CURE = "write e.g. `when: {data.object.amount_paid: {above: 0}}`"
EVENTS_CURE = "write a list, e.g. `events: [invoice.paid, customer.subscription.*]`, or `['*']` for all"
RULES_CURE = "write a list: `rules:` and below it `- name: ...`, `events: [...]`, `set: {...}`"
SECRETS_CURE = "write a list of names, e.g. `secrets: [STRIPE_WEBHOOK_SECRET]`; never the secret itself"
WRITE_CURE = "choose another `write:`, or convert the value with `as:`"
ONE_SOURCE = "expected exactly one of from, header, query, value, join; found "
SPEC_KEYS = "from, header, query, value, join, with, clean, as, format, zone, currency, table, otherwise"
CONVERSIONS = "text, integer, decimal, boolean, unix_seconds, unix_millis, iso8601, date, minor_units"
OPERATORS = "equals, not, in, not_in, exists, above, at_least, below, at_most, contains, starts_with, matches"

# One block of the file, and all problems with it: path, message, cure.
BLOCKS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"version": 2}, [("version", "expected 1, found number 2", "write `version: 1`")]),
    ({"version": "1"}, [("version", "expected 1, found text '1'", "write `version: 1`")]),
    (
        {"source": "Acme Inc"},
        [
            (
                "source",
                "text 'Acme Inc' may have only a-z, 0-9, - and _, at most 64",
                "write the name of the folder, e.g. `source: stripe`",
            )
        ],
    ),
    (
        {"source": 3},
        [
            (
                "source",
                "expected text, found number 3",
                "write the name of the folder, e.g. `source: stripe`",
            )
        ],
    ),
    ({"title": ""}, [("title", "is empty", "fill it in, or remove it")]),
    ({"rules": []}, [("rules", "is empty", RULES_CURE)]),
    ({"rules": {"name": "x"}}, [("rules", "expected a list, found keys with values", RULES_CURE)]),
    ({"rules": ["x"]}, [("rules[0]", "expected keys with values, found text 'x'", "write keys with values")]),
    (
        {"verify": {**VERIFY, "scheme": "strip"}},
        [
            (
                "verify.scheme",
                "text 'strip' is not known here; did you mean 'stripe'?",
                (
                    "write one of: stripe, standard-webhooks, hmac, basic, token, adyen, braintree,"
                    " salesforce, paypal"
                ),
            )
        ],
    ),
    ({"verify": {**VERIFY, "secrets": []}}, [("verify.secrets", "is empty", SECRETS_CURE)]),
    (
        {"verify": {**VERIFY, "secrets": ["A", "A"]}},
        [("verify.secrets", "has the same entry twice", "keep one")],
    ),
    (
        {"verify": {"scheme": "hmac", "secrets": ["A"]}},
        [("verify", "'header' is missing", "add `header: ...`")],
    ),
    ({"verify": {**VERIFY, "tolerance": 0}}, [("verify.tolerance", "is below 1", "write at least 1")]),
    (
        {"verify": {**VERIFY, "tolerence": 5}},
        [
            (
                "verify.tolerence",
                "unknown key 'tolerence'; did you mean 'tolerance'?",
                "known here: scheme, secrets, tolerance",
            )
        ],
    ),
    ({"event": {"id": "id"}}, [("event", "'type' is missing", READ_CURE)]),
    (
        {"event": {"type": "t", "time": "created"}},
        [("event.time", "expected keys with values, found text 'created'", TIME_EXAMPLE)],
    ),
    (
        {"event": {"type": "t", "time": {"from": "created"}}},
        [("event.time", "'as' is missing", "add `as: ...`")],
    ),
    (
        {"event": {"type": "t", "time": {"from": "created", "as": "unix_second"}}},
        [
            (
                "event.time.as",
                "text 'unix_second' is not known here; did you mean 'unix_seconds'?",
                "write one of: unix_seconds, unix_millis, iso8601, date",
            )
        ],
    ),
    (
        {"event": {"type": "a..b"}},
        [("event.type", "'a..b' is not a path: did not expect '.' at character 3", QUOTES_CURE)],
    ),
    (
        {"event": {"type": "$.a..b"}},
        [("event.type", "'$.a..b' is not a path: did not expect '.' at character 5", QUOTES_CURE)],
    ),
    (
        {"event": {"type": "first-name"}},
        [("event.type", "'first-name' is not a path: did not expect '-' at character 6", QUOTES_CURE)],
    ),
    ({"event": {"type": "a["}}, [("event.type", "'a[' is not a path: it ends too early", QUOTES_CURE)]),
    (
        {"event": {"type": "lower(a, b)"}},
        [("event.type", "lower() takes 1 argument, found 2", "give lower() 1 argument")],
    ),
    (
        {"event": {"type": "t", "each": 5}},
        [("event.each", "expected text, found number 5", "write a path, e.g. data.object.id")],
    ),
    (
        {"lead": {"create": True}},
        [("lead", "says no way to find the lead", "add one of guid, contact_id, email, keys")],
    ),
    (
        {"lead": {"keys": {"email": "x"}}},
        [
            (
                "lead.keys.email",
                "'email' is not a name of a key",
                "use a-z, 0-9 and _, and not guid, contact_id or email; e.g. stripe_customer",
            )
        ],
    ),
    (
        {"lead": {"email": {"from": "a", "missing": "clear"}}},
        [("lead.email.missing", "text 'clear' is not known here", "write one of: skip, dead_letter")],
    ),
    (
        {"tables": {"plans": {"a": None}}},
        [("tables.plans.a", "expected text, a number or true or false, found null", CONSTANT_CURE)],
    ),
    (
        {"tables": {"plans": {}}},
        [("tables.plans", "is empty", "write e.g. `plans: {price_1: Pro, price_2: Basic}`")],
    ),
    (
        {"respond": {"status": 404}},
        [("respond.status", "is above 299", "write a number from 200 to 299")],
    ),
    (
        {"respond": {"content_type": "text"}},
        [
            (
                "respond.content_type",
                "text 'text' is not a content type",
                "write e.g. `content_type: text/plain`",
            )
        ],
    ),
    (
        {"tests": [{"name": "x", "given": "examples/gone.json", "expect": {}}]},
        [
            (
                "tests[0].given",
                "there is no file examples/gone.json",
                "put it under acme/, or correct the name",
            )
        ],
    ),
    (
        {"tests": [{"name": "x", "given": "examples/paid.json"}]},
        [
            (
                "tests[0]",
                "expected exactly one of expect, expect_ignored, expect_dead; found none",
                "add one",
            )
        ],
    ),
    (
        {"tests": [{"name": "x", "given": "examples/paid.json", "expect": {"isCustomer": True}}]},
        [
            (
                "tests[0].expect.isCustomer",
                NOT_SETTABLE,
                "",
            )
        ],
    ),
]

# A value spec of the field `plan`, and the problem: what follows rules[0].set.plan, message, cure.
SPECS: list[tuple[Any, str, str, str]] = [
    ({"from": "a", "header": "b"}, "", f"{ONE_SOURCE}from and header", "keep one"),
    ({"clean": ["trim"]}, "", f"{ONE_SOURCE}none", "add one"),
    (
        {"from": "a", "claen": ["trim"]},
        ".claen",
        "unknown key 'claen'; did you mean 'clean'?",
        f"known here: {SPEC_KEYS}, scale, missing, write, when",
    ),
    (
        {"from": "a", "as": "Integer"},
        ".as",
        "text 'Integer' is not known here; did you mean 'integer'?",
        f"write one of: {CONVERSIONS}",
    ),
    (
        {"from": "a", "clean": "trim"},
        ".clean",
        "expected a list, found text 'trim'",
        "write a list, e.g. `clean: [trim, lower]`",
    ),
    (
        {"from": "a", "clean": ["trimm"]},
        ".clean[0]",
        "text 'trimm' is not known here; did you mean 'trim'?",
        "write one of: trim, lower, upper, digits",
    ),
    ({"from": "a", "table": "x"}, ".table", "there is no table 'x'", "there are no `tables:` in this file"),
    (
        {"from": "a", "otherwise": "skip"},
        "",
        "'otherwise' needs 'table' beside it",
        "add `table: ...`, or remove `otherwise`",
    ),
    ({"from": "a", "with": "-"}, "", "'with' needs 'join' beside it", "add `join: ...`, or remove `with`"),
    (
        {"from": "a", "format": "%Y"},
        ".format",
        "'format' only goes with `as: date`",
        "remove it, or write `as: date`",
    ),
    (
        {"from": "a", "as": "iso8601", "zone": "UTC"},
        ".zone",
        "'zone' only goes with `as: date`",
        "remove it, or write `as: date`",
    ),
    (
        {"from": "a", "currency": "b"},
        ".currency",
        "'currency' only goes with `as: minor_units`",
        "remove it, or write `as: minor_units`",
    ),
    ({"from": "a", "as": "minor_units"}, "", "'currency' is missing", "add `currency: ...`"),
    (
        {"from": "a", "as": "minor_units", "currency": "USD"},
        ".currency",
        "USD is read as a path",
        "write `currency: {value: USD}`",
    ),
    (
        {"from": "a", "as": "date", "format": "%d.%m"},
        ".format",
        "the format '%d.%m' has no year (%Y)",
        "write it as for Python's strptime, e.g. '%d.%m.%Y %H:%M'",
    ),
    (
        {"from": "a", "as": "date", "format": "%Y-%Q"},
        ".format",
        "the format '%Y-%Q' cannot be used: 'Q' is a bad directive in format '%Y-%Q'",
        "write it as for Python's strptime, e.g. '%d.%m.%Y %H:%M'",
    ),
    (
        {"from": "a", "as": "date", "zone": "Mars/Base"},
        ".zone",
        "unknown time zone 'Mars/Base'",
        "write one like Europe/Berlin or UTC",
    ),
    (
        {"from": "a", "missing": "zero"},
        ".missing",
        "text 'zero' is not known here",
        "write one of: skip, clear, dead_letter",
    ),
    ({"from": "a", "missing": {"value": ""}}, ".missing.value", "is empty", CONSTANT_CURE),
    (
        {"from": "a", "write": "lates"},
        ".write",
        "text 'lates' is not known here; did you mean 'latest'?",
        "write one of: latest, earliest, max, min, sum, if_empty",
    ),
    (
        {"from": "a", "as": "text", "write": "max"},
        ".write",
        "`write: max` needs a number, and this is text",
        WRITE_CURE,
    ),
    (
        {"value": True, "write": "min"},
        ".write",
        "`write: min` needs a number, and this is boolean",
        WRITE_CURE,
    ),
    ({"join": ["a"], "write": "sum"}, ".write", "`write: sum` needs a number, and this is text", WRITE_CURE),
    ({"from": "a", "as": "iso8601", "write": "sum"}, ".write", "`write: sum` cannot add times", WRITE_CURE),
    (
        {"from": "a", "missing": "clear", "write": "if_empty"},
        ".write",
        "`write: if_empty` cannot clear a field",
        "use `write: latest`, or do not `clear`",
    ),
    (
        {"from": "a", "scale": "x"},
        ".scale",
        "expected a number, found text 'x'",
        "write a number, e.g. `scale: 0.01`",
    ),
    ({"from": []}, ".from", "is empty", "write a path or a list of paths"),
    (
        {"from": ["b", "a."]},
        ".from[1]",
        "'a.' is not a path: it ends too early",
        QUOTES_CURE,
    ),
    ("", "", "is empty", READ_CURE),
    (None, "", "expected text, a number, true or false or keys with values, found null", READ_CURE),
    (
        {"join": "a"},
        ".join",
        "expected a list, found text 'a'",
        "write a list of paths, e.g. `join: [first_name, last_name]`",
    ),
    (
        {"join": ["a", {"from": "b", "when": {"c": {"abov": 1}}}]},
        ".join[1].when.c.abov",
        "unknown key 'abov'; did you mean 'above'?",
        f"known here: {OPERATORS}",
    ),
]

# A condition, and the problem: what follows rules[0].when, message, cure.
CONDITIONS: list[tuple[Any, str, str, str]] = [
    (5, "", "expected text or keys with values, found number 5", WHEN_CURE),
    ({}, "", "is empty", WHEN_CURE),
    ("a >", "", "'a >' is not a path: it ends too early", QUOTES_CURE),
    (
        {"a": [1, 2]},
        ".a",
        "expected text, a number, true or false, null or keys with values, found a list",
        "write `{in: [...]}`",
    ),
    ({"a": {"above": "x"}}, ".a.above", "expected a number, found text 'x'", "write a number"),
    (
        {"a": {"in": "x"}},
        ".a.in",
        "expected a list, found text 'x'",
        "write a list, e.g. `{in: [paid, open]}`",
    ),
    (
        {"a": {"exists": "maybe"}},
        ".a.exists",
        "expected true or false, found text 'maybe'",
        "write true or false",
    ),
    (
        {"a": {"matches": "("}},
        ".a.matches",
        "'(' is not a regular expression: missing ), unterminated subpattern at position 0",
        "see Python's re syntax",
    ),
    ({"all": {"a": 1}}, ".all", "expected a list, found keys with values", "write a list"),
    (
        {"any": [{"b c": 1}]},
        ".any[0].b c",
        "'b c' is not a path: did not expect 'c' at character 3",
        QUOTES_CURE,
    ),
    (
        {"not": {"a": {"eqals": 1}}},
        ".not.a.eqals",
        "unknown key 'eqals'; did you mean 'equals'?",
        f"known here: {OPERATORS}",
    ),
]


@pytest.mark.parametrize(("block", "expected"), BLOCKS, ids=lambda value: str(value)[:60])
def test_a_wrong_block_is_told(
    block: dict[str, Any], expected: list[tuple[str, str, str]], problems_of: Problems
) -> None:
    found = problems_of(document(**block))

    names = [row.partition(":")[0] for row in document(**block).split("\n")]
    line = names.index(next(iter(block))) + 1
    assert [(p.path, p.message, p.cure) for p in found] == expected
    assert {p.place for p in found} == {f"mappings/acme/mapping.yaml:{line}"}


@pytest.mark.parametrize(("spec", "below", "message", "cure"), SPECS, ids=lambda value: str(value)[:60])
def test_a_wrong_value_is_told(spec: Any, below: str, message: str, cure: str, problems_of: Problems) -> None:
    (found,) = problems_of(document(rules=[{"name": "r", "events": ["a"], "set": {"plan": spec}}]))

    assert (found.path, found.message, found.cure) == (f"rules[0].set.plan{below}", message, cure)


@pytest.mark.parametrize(("when", "below", "message", "cure"), CONDITIONS, ids=lambda value: str(value)[:60])
def test_a_wrong_condition_is_told(
    when: Any, below: str, message: str, cure: str, problems_of: Problems
) -> None:
    rule = {"name": "r", "events": ["a"], "when": when, "set": {"plan": "plan"}}

    (found,) = problems_of(document(rules=[rule]))

    assert (found.path, found.message, found.cure) == (f"rules[0].when{below}", message, cure)


@pytest.mark.parametrize("key", ["version", "source", "verify", "event", "lead", "rules"])
def test_a_missing_block_is_told(key: str, problems_of: Problems) -> None:
    (found,) = problems_of(document(**{key: ...}))

    assert str(found).startswith(f"mappings/acme/mapping.yaml:1: '{key}' is missing (write ")


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems_of: Problems) -> None:
    found = problems_of(
        """\
        version: 1
        source: acme
        verify: {scheme: stripe, secrets: [ACME_SECRET]}
        event:
          type: lowr(type)
        leed: {email: email}
        rules:
          - name: first
            evnts: [a]
            set:
              isCustomer: true
              plan: {from: price, table: plns}
          - name: first
            events: a
            when: {amount: {above: 0}, "a b": 1}
            set: {city: "city["}
        tables: {plans: {a: b}}
        """
    )

    assert [str(problem).removeprefix("mappings/acme/mapping.yaml:").split(" (")[0] for problem in found] == [
        "1: 'lead' is missing",
        "5: event.type: unknown function 'lowr'; did you mean 'lower'?",
        "6: leed: unknown key 'leed'; did you mean 'lead'?",
        "8: rules[0]: 'events' is missing",
        "9: rules[0].evnts: unknown key 'evnts'; did you mean 'events'?",
        f"11: rules[0].set.isCustomer: {NOT_SETTABLE}",
        "12: rules[0].set.plan.table: there is no table 'plns'; did you mean 'plans'?",
        "13: rules[1].name: another rule is called 'first' too, at mappings/acme/mapping.yaml:8",
        "14: rules[1].events: expected a list, found text 'a'",
        "15: rules[1].when.a b: 'a b' is not a path: did not expect 'b' at character 3",
        "16: rules[1].set.city: 'city[' is not a path: it ends too early",
    ]


@pytest.mark.parametrize(
    "verify",
    [
        {"scheme": "stripe", "secrets": ["whsec_topsecret"]},
        {"scheme": "stripe", "secrets": "whsec_topsecret"},
        {"scheme": "stripe", "secrets": ["A"], "tolerance": "whsec_topsecret"},
        {"scheme": "hmac", "secrets": ["A"], "header": "X", "encoding": "whsec_topsecret"},
        "whsec_topsecret",
    ],
    ids=str,
)
def test_a_secret_pasted_into_the_file_is_not_repeated(verify: Any, problems_of: Problems) -> None:
    found = problems_of(document(verify=verify))

    assert found
    assert not any("topsecret" in str(problem) for problem in found)


CHECK_CURE = "check the indentation, the quotes and the brackets here and on the line above"
NO_YAML: list[tuple[str, int, str, str]] = [
    ("", 1, "is empty", "begin with `version: 1` and `source: ...`"),
    (
        "a: b: c",
        1,
        "is not YAML: mapping values are not allowed here",
        "put text that has ': ' in it in quotes",
    ),
    (
        "a:\n\tb: 1",
        2,
        "is not YAML: found character '\\t' that cannot start any token",
        "indent with spaces, not tabs",
    ),
    ("a: *x", 1, "is not YAML: found undefined alias 'x'", CHECK_CURE),
    ("a: [", 1, "is not YAML: expected the node content, but found '<stream end>'", CHECK_CURE),
    (
        "a: '\x01'",
        1,
        "is not YAML: unacceptable character #x0001: special characters are not allowed",
        "remove it",
    ),
    ("[" * 5000, 1, "is nested too deeply", "few levels are needed"),
    (
        "a: &a [*a]",
        1,
        "has more than 50,000 parts",
        "repeat less with & and *, and never put a part into itself",
    ),
]


@pytest.mark.parametrize(("text", "line", "message", "cure"), NO_YAML, ids=lambda value: str(value)[:20])
def test_what_is_no_yaml_is_told(
    text: str, line: int, message: str, cure: str, problems_of: Problems
) -> None:
    (found,) = problems_of(text)

    assert (found.place, found.message, found.cure) == (f"mappings/acme/mapping.yaml:{line}", message, cure)


def test_aliases_that_multiply_are_refused(problems_of: Problems) -> None:
    laughs = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 9))

    (found,) = problems_of(f"x0: &x0 [{', '.join('0123456789')}]\n{laughs}\n")

    assert "has more than 50,000 parts" in found.message


def test_a_huge_file_is_refused(problems_of: Problems) -> None:
    (found,) = problems_of(f"# {'x' * FORM.largest}")

    assert found.message == "is larger than 256 KiB"


def test_duplicate_keys_are_told_with_both_lines(problems_of: Problems) -> None:
    found = problems_of(document() + "\ntitle: A\nsource: other\ntitle: B\n")

    assert [str(problem) for problem in found] == [
        "mappings/acme/mapping.yaml:8: duplicate key 'source', first on line 2 (keep one)",
        "mappings/acme/mapping.yaml:9: duplicate key 'title', first on line 7 (keep one)",
    ]


def test_keys_and_numbers_that_json_lacks_are_told(problems_of: Problems) -> None:
    found = problems_of(document() + "\ntables: {a: {? [x] : y, b: .nan}}\n")

    assert [(p.message, p.cure) for p in found] == [
        ("a key must be text", "put it in quotes"),
        ("'.nan' is not a number that JSON knows", "write digits, or put it in quotes if it is text"),
    ]


def test_text_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_bytes(b"version: 1\ntitle: M\xfcller\n")

    with pytest.raises(MappingError, match=r"^m\.yaml:2: is not UTF-8 text \(save the file as UTF-8\)$"):
        load_mapping(file, "m.yaml", lambda _: None)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"^m\.yaml: cannot be read: No such file or directory"):
        load_mapping(tmp_path / "gone.yaml", "m.yaml", lambda _: None)


def test_the_line_is_that_of_the_key(problems_of: Problems) -> None:
    text = (
        document(rules=...)
        + "\nrules:\n- name: r\n  events: [a]\n  set:\n    plan:\n      from: a\n      as: txt\n"
    )

    (found,) = problems_of(text)

    assert found.place == "mappings/acme/mapping.yaml:12"


def test_aliases_may_be_used(load: Load) -> None:
    text = document(rules=...) + (
        "\nrules:\n- {name: a, events: &both [x, y], set: {plan: plan}}"
        "\n- {name: b, events: *both, set: {city: city}}"
    )

    assert [rule.events for rule in load(text).rules] == [("x", "y"), ("x", "y")]
