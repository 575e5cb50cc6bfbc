from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import integration.lead.catalogue as catalogue_module
from integration.core.values import Cause, FieldChange, Wire, WriteRule
from integration.lead.catalogue import Catalogue, Field
from integration.lead.fields_file import CatalogueError, load_catalogue

SHOWN_AS = "mappings/fields.yaml"
PLACE = "mappings/stripe/mapping.yaml:14"
NEVER_SENT = [
    "guid",
    "id",
    "leadId",
    "isCustomer",
    "lastConvertedAt",
    "lastModifiedAt",
    "leadJsonLink",
    "leadLink",
    "leadNurturingActive",
    "LeadNurturingActive",
    "numConversionEvents",
    "portalId",
    "publicLeadLink",
    "sourceValueModifiedAt",
    "analyticsDetails",
    "crmDetails",
    "leadConversionEvents",
    "leadCustomerStatusModifyLogs",
    "leadDeleteLogs",
]
CUSTOM = [
    Field("plan", "text", "Plan", custom=True),
    Field("lastPayment", "decimal", "Last payment", custom=True),
    Field("seats", "integer", "Seats", custom=True),
]


def change(name: str, value: Wire | None, write: WriteRule = "latest") -> FieldChange:
    return FieldChange(name, value, write, PLACE, "payment received")


def declared(folder: Path, text: str) -> Catalogue:
    file = folder / "fields.yaml"
    file.write_text(text, encoding="utf-8")
    return load_catalogue(file, SHOWN_AS)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        declared(folder, text)
    assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


class TestSchemas:
    @pytest.mark.parametrize("name", ["lead.schema.json", "fields.schema.json"])
    def test_are_valid_json_schema(self, name: str) -> None:
        file = Path(catalogue_module.__file__).parent / name
        Draft202012Validator.check_schema(json.loads(file.read_text(encoding="utf-8")))


class TestFields:
    def test_of_the_leads_api_may_be_set_but_for_the_never_sent(self) -> None:
        fields = Catalogue().fields
        assert len(fields) == 40
        assert not set(NEVER_SENT) & set(fields)
        assert {name: fields[name].type for name in ("city", "closedAt", "score", "isDeleted")} == {
            "city": "text",
            "closedAt": "time",
            "score": "integer",
            "isDeleted": "boolean",
        }

    @pytest.mark.parametrize("name", NEVER_SENT)
    def test_never_sent_are_refused_with_the_reason(self, name: str) -> None:
        problem = Catalogue(CUSTOM).field_problem(name)
        assert problem is not None
        assert problem.startswith(f"{name} cannot be set: ")

    def test_is_customer_names_the_field_to_set_instead(self) -> None:
        expected = "isCustomer cannot be set: HubSpot derives it from closedAt; set closedAt instead"
        assert Catalogue().field_problem("isCustomer") == expected

    def test_unknown_are_refused_with_the_cure(self) -> None:
        expected = "plan is not a field of a lead; declare it in mappings/fields.yaml"
        assert Catalogue().field_problem("plan") == expected
        assert Catalogue(CUSTOM).field_problem("plan") is None

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("closedat", "closedAt"), ("adress", "address"), ("Plan", "plan"), ("SCORE", "score")],
    )
    def test_mistyped_are_refused_with_a_guess(self, name: str, meant: str) -> None:
        guess = f"did you mean {meant}? If not, declare it in mappings/fields.yaml"
        expected = f"{name} is not a field of a lead; {guess}"
        assert Catalogue(CUSTOM).field_problem(name) == expected

    @pytest.mark.parametrize("name", ["cixx", "cites", "quux"])
    def test_a_guess_is_only_made_where_one_is_near(self, name: str) -> None:
        expected = f"{name} is not a field of a lead; declare it in mappings/fields.yaml"
        assert Catalogue().field_problem(name) == expected


class TestValidate:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("city", "Cambridge"),
            ("city", ""),
            ("city", "two\nlines and \U0001f600"),
            ("city", "x" * 65_536),
            ("score", 0),
            ("score", 2**63 - 1),
            ("isDeleted", False),
            ("closedAt", "1323293954000"),
            ("closedAt", "0"),
            ("lastPayment", 20.5),
            ("lastPayment", 20),
            *[(name, None) for name in ("city", "score", "isDeleted", "closedAt", "lastPayment")],
        ],
    )
    def test_accepts(self, name: str, value: Wire | None) -> None:
        assert Catalogue(CUSTOM).validate([change(name, value)]) is None

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("city", 5, "expected text of at most 65,536 characters, without NUL"),
            ("city", True, "expected text"),
            ("city", "x" * 65_537, "expected text of at most 65,536"),
            ("city", "a\0b", "without NUL"),
            ("city", "a\ud800b", "expected text"),
            ("score", "5", "expected a whole number of 64 bits"),
            ("score", True, "expected a whole number"),
            ("score", 5.5, "expected a whole number"),
            ("score", 2**63, "expected a whole number"),
            ("isDeleted", "true", "expected true or false"),
            ("isDeleted", 1, "expected true or false"),
            (
                "closedAt",
                1323293954000,
                'expected a time as milliseconds since 1970 in text, as "1323293954000"',
            ),
            ("closedAt", "2024-01-01", "expected a time"),
            ("closedAt", "1323293954000\n", "expected a time"),
            ("closedAt", "1323293954000000", "expected a time"),
            ("closedAt", "", "expected a time"),
            ("lastPayment", "20.5", "expected a number"),
            ("lastPayment", float("nan"), "expected a number"),
            ("lastPayment", float("inf"), "expected a number"),
            ("lastPayment", False, "expected a number"),
            ("isCustomer", True, "isCustomer cannot be set"),
            ("unheardOf", "x", "unheardOf is not a field of a lead"),
        ],
    )
    def test_refuses(self, name: str, value: Wire, expected: str) -> None:
        cause = Catalogue(CUSTOM).validate([change("state", "MA"), change(name, value)])
        assert cause is not None
        assert cause.code == "invalid_field"
        assert cause.detail.startswith(f"{PLACE}: rule 'payment received' sets {name} to ")
        assert expected in cause.detail
        assert cause.cure
        assert len(cause.detail) < 400

    def test_says_what_to_write_instead(self) -> None:
        cause = Catalogue().validate([change("closedAt", "2024-01-01")])
        assert cause is not None
        assert cause.detail == (
            f"{PLACE}: rule 'payment received' sets closedAt to '2024-01-01': "
            'expected a time as milliseconds since 1970 in text, as "1323293954000"'
        )
        assert cause.cure == "convert it (`as: unix_seconds`, `unix_millis`, `iso8601` or `date`)"

    def test_names_every_bad_field_at_once(self) -> None:
        cause = Catalogue().validate([change("city", 1), change("score", "x"), change("state", "MA")])
        assert cause is not None
        assert "sets city to 1" in cause.detail
        assert "sets score to 'x'" in cause.detail
        assert "state" not in cause.detail

    @pytest.mark.parametrize("write", ["max", "min", "if_empty"])
    def test_refuses_to_clear_under_a_rule_that_cannot(self, write: WriteRule) -> None:
        cause = Catalogue().validate([change("score", None, write)])
        assert cause is not None
        assert f"`write: {write}` cannot clear a field" in cause.detail

    def test_refuses_to_sum_texts(self) -> None:
        cause = Catalogue().validate([change("city", "Cambridge", "sum")])
        assert cause is not None
        assert "`write: sum` adds numbers only" in cause.detail

    def test_says_of_each_bad_field_what_is_wrong_and_each_cure_once(self) -> None:
        at = f"{PLACE}: rule 'payment received' sets"
        changes = [
            change("unheardOf", "x"),
            change("city", 1),
            change("state", 2),
            change("score", None, "max"),
            change("plan", "Pro"),
        ]
        cause = Catalogue(CUSTOM).validate(changes)
        assert cause == Cause(
            "invalid_field",
            f"{at} unheardOf to 'x': unheardOf is not a field of a lead; declare it in mappings/fields.yaml; "
            f"{at} city to 1: expected text of at most 65,536 characters, without NUL; "
            f"{at} state to 2: expected text of at most 65,536 characters, without NUL; "
            f"{at} score to None: `write: max` cannot clear a field",
            "correct the field's name in the mapping, then retry; give it as text (`as: text`), or shorten "
            "it; change `write:` or the value in the mapping, then retry",
        )

    @pytest.mark.parametrize("value", ["Cambridge", True, None])
    def test_refuses_to_sum_what_is_no_number(self, value: Wire | None) -> None:
        cause = Catalogue(CUSTOM).validate([change("lastPayment", value, "sum")])
        assert cause is not None
        why = "`write: sum` cannot clear a field" if value is None else "`write: sum` adds numbers only"
        assert cause.detail.endswith(f" to {value!r}: {why}")
        assert cause.cure == "change `write:` or the value in the mapping, then retry"

    @pytest.mark.parametrize(
        ("name", "value", "write"),
        [
            ("lastPayment", 20.5, "sum"),
            ("score", 3, "sum"),
            ("score", 3, "max"),
            ("city", "Rome", "if_empty"),
            ("city", None, "earliest"),
        ],
    )
    def test_accepts_every_write_rule_where_it_makes_sense(
        self, name: str, value: Wire | None, write: WriteRule
    ) -> None:
        assert Catalogue(CUSTOM).validate([change(name, value, write)]) is None

    def test_a_field_that_the_account_adds_counts_as_the_account_says(self) -> None:
        cause = Catalogue(CUSTOM).validate([change("seats", "many")])
        assert cause is not None
        assert cause.detail.endswith("expected a whole number of 64 bits")
        assert cause.cure == "give it as a whole number (`as: integer`)"


class TestFieldsFile:
    def test_declares_custom_fields(self, tmp_path: Path) -> None:
        text = "version: 1\nfields:\n  plan: {type: text, label: The plan}\n  lastPayment: {type: decimal}\n"
        catalogue = declared(tmp_path, text)
        assert catalogue.fields["plan"] == Field("plan", "text", "The plan", custom=True)
        assert catalogue.fields["lastPayment"] == Field("lastPayment", "decimal", "lastPayment", custom=True)
        assert catalogue.validate([change("plan", "Pro"), change("lastPayment", 20.0)]) is None

    @pytest.mark.parametrize("file", [None, Path("/nowhere/fields.yaml")])
    def test_may_be_absent(self, file: Path | None) -> None:
        assert load_catalogue(file, SHOWN_AS).fields == Catalogue().fields

    def test_reports_every_problem_with_its_line(self, tmp_path: Path) -> None:
        text = """version: 1
fields:
  plan: {type: txt}
  city: {type: text}
  isCustomer: {type: boolean}
  two words: {type: text}
  seats: {label: Seats, typ: integer}
  colour: text
"""
        is_customer = "isCustomer cannot be set: HubSpot derives it from closedAt; set closedAt instead"
        types = "write one of: text, integer, decimal, boolean, time, date"
        assert [line.removeprefix(SHOWN_AS) for line in problems(tmp_path, text)] == [
            f":3: fields.plan.type: text 'txt' is not known here; did you mean 'text'? ({types})",
            ":4: fields.city: city is a field of every lead (remove it here)",
            f":5: fields.isCustomer: {is_customer} (remove it here)",
            ":6: fields.two words: 'two words' is not a name for a field (use letters, digits and _)",
            ":7: fields.seats.typ: unknown key 'typ'; did you mean 'type'? (known here: type, label)",
            ":7: fields.seats: 'type' is missing (add `type: text`, or another type)",
            ":8: fields.colour: expected keys with values, found text 'text' (write `name: {type: text}`)",
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("version: 2\nfields: {}\n", f"{SHOWN_AS}:1: version: expected 1, found number 2 (write"),
            ("version: 1\n", f"{SHOWN_AS}:1: 'fields' is missing (write `fields:` and below it"),
            ("", f"{SHOWN_AS}:1: is empty (begin with `version: 1` and `fields: {{}}`)"),
            ("- a\n", f"{SHOWN_AS}:1: expected keys with values, found a list"),
            (
                "version: 1\nfields:\n  7: {type: text}\n",
                f"{SHOWN_AS}:3: fields.7: '7' is not a name for a field (use letters, digits and _)",
            ),
            (
                "version: 1\nfields:\n  plan: {type: text, label: 7}\n",
                f"{SHOWN_AS}:3: fields.plan.label: expected text, found number 7",
            ),
            ("version: 1\nfields: [\n", f"{SHOWN_AS}:3: is not YAML"),
            (
                "version: 1\nfields: {}\nversion: 1\n",
                f"{SHOWN_AS}:3: duplicate key 'version', first on line 1",
            ),
            ("version: \x00\n", f"{SHOWN_AS}:1: is not YAML: unacceptable character"),
        ],
    )
    def test_that_is_broken_says_where(self, tmp_path: Path, text: str, expected: str) -> None:
        (problem,) = problems(tmp_path, text)
        assert problem.startswith(expected)

    def test_that_is_no_text_says_so(self, tmp_path: Path) -> None:
        file: Any = tmp_path / "fields.yaml"
        file.write_bytes(b"\xff\xfe\xff")
        with pytest.raises(CatalogueError, match="is not UTF-8 text"):
            load_catalogue(file, SHOWN_AS)


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text("0123456789", max_size=20),
        st.sampled_from(["\x00", "\ud800", "²", "٣", "x" * 70_000, 2**53, -(2**63), 1e300, 1e301]),
    ),
    kind=st.sampled_from(["text", "integer", "decimal", "boolean", "time"]),
    write=st.sampled_from(get_args(WriteRule)),
)  # fmt: skip
@settings(deadline=None)
def test_what_is_plainly_valid_is_valid_by_the_schema_too(
    value: Wire | None, kind: str, write: WriteRule
) -> None:
    catalogue = Catalogue([Field("custom", cast(Any, kind), "custom", custom=True)])
    change = FieldChange("custom", value, write, "m:1", "rule")

    if catalogue._is_plainly_valid(change):
        assert catalogue._problem(change) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", "Berlin"), ("integer", 3), ("decimal", 4.5), ("boolean", False), ("time", "1323293954000")],
)
def test_common_values_are_plainly_valid(kind: str, value: Wire) -> None:
    catalogue = Catalogue([Field("custom", cast(Any, kind), "custom", custom=True)])

    assert catalogue._is_plainly_valid(FieldChange("custom", value, "latest", "m:1", "rule"))
