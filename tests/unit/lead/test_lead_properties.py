"""What lead fields are as properties of HubSpot's contacts, and how values look on either side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.core.values import Cause, Wire
from integration.lead.catalogue import Catalogue, ContactNames, Field, FieldType
from integration.lead.properties import ARCHIVE_FIELD, UNWRITABLE, PropertyTable, table_of

TABLE = PropertyTable(
    {"closedAt": "time", "paidOn": "date", "seats": "integer", "price": "decimal", "isVip": "boolean"},
    {"plan": "plan__c", "score": "our_score"},
)
JAN_2 = 1_704_153_600_000  # 2024-01-02T00:00:00Z


class TestNames:
    @pytest.mark.parametrize(
        ("field", "name"),
        [
            ("city", "city"),
            ("firstName", "firstname"),
            ("closedAt", "closedate"),
            ("plan", "plan__c"),
            ("score", "our_score"),
            ("rawScore", None),
            ("ipAddress", None),
            (ARCHIVE_FIELD, None),
        ],
    )
    def test_a_field_is_its_name_in_small_letters_unless_said_otherwise(
        self, field: str, name: str | None
    ) -> None:
        assert TABLE.property_of(field) == name

    def test_the_account_may_name_the_property_of_what_is_renamed_anyway(self) -> None:
        assert PropertyTable(renamed={"closedAt": "won_on"}).property_of("closedAt") == "won_on"


class TestRefusal:
    def test_a_field_with_a_property_has_none(self) -> None:
        assert TABLE.refusal("city", "Rome") is None
        assert TABLE.refusal("score", 5) is None

    @pytest.mark.parametrize("field", sorted(UNWRITABLE))
    def test_a_field_without_a_property_says_why_and_what_to_do(self, field: str) -> None:
        assert PropertyTable().refusal(field, "x") == Cause(
            "no_contact_property",
            f"HubSpot's contacts have no property that takes {field}: {UNWRITABLE[field]}",
            f"remove {field} from the mapping, or name its property under `contacts:` in "
            "mappings/fields.yaml; then retry",
        )

    def test_a_contact_can_be_deleted_but_not_brought_back(self) -> None:
        accepted: Wire = True
        assert TABLE.refusal(ARCHIVE_FIELD, accepted) is None
        for value in (False, None, "true", 1):
            assert TABLE.refusal(ARCHIVE_FIELD, value) == Cause(
                "no_contact_property",
                "HubSpot's contacts API cannot bring a deleted contact back (isDeleted: false)",
                "restore the contact in HubSpot, and let the mapping set isDeleted to true only",
            )


class TestSent:
    @pytest.mark.parametrize(
        ("field", "value", "text"),
        [
            ("city", "Rome", "Rome"),
            ("city", None, ""),
            ("city", "", ""),
            ("seats", 0, "0"),
            ("price", 20.5, "20.5"),
            ("isVip", True, "true"),
            ("isVip", False, "false"),
            ("fax", "1704153600001", "1704153600001"),
        ],
    )
    def test_all_values_are_texts_and_a_blank_clears(self, field: str, value: Wire | None, text: str) -> None:
        assert TABLE.properties({field: value}) == {field.lower(): text}

    @pytest.mark.parametrize("later", [0, 1, 24 * 3600 * 1000 - 1])
    def test_a_date_is_midnight_in_utc_and_a_time_is_exact(self, later: int) -> None:
        assert TABLE.properties({"paidOn": str(JAN_2 + later)}) == {"paidon": str(JAN_2)}
        assert TABLE.properties({"paidOn": None}) == TABLE.properties({"paidOn": ""}) == {"paidon": ""}
        assert TABLE.properties({"closedAt": str(JAN_2 + later)})["closedate"] == str(JAN_2 + later)

    def test_the_day_after_is_another_date(self) -> None:
        after = JAN_2 + 24 * 3600 * 1000
        assert TABLE.properties({"paidOn": str(after)}) == {"paidon": str(after)}

    def test_what_no_property_takes_is_left_out(self) -> None:
        assert TABLE.properties({"ipAddress": "::1", "city": "Rome"}) == {"city": "Rome"}


class TestACustomer:
    def test_is_who_has_a_close_date(self) -> None:
        assert TABLE.properties({"closedAt": str(JAN_2)}) == {
            "closedate": str(JAN_2),
            "lifecyclestage": "customer",
        }

    @pytest.mark.parametrize("value", [None, ""])
    def test_is_nobody_without_one(self, value: Wire | None) -> None:
        assert TABLE.properties({"closedAt": value}) == {"closedate": ""}
        assert TABLE.properties({"city": "Rome"}) == {"city": "Rome"}

    def test_has_the_stage_that_the_mapping_says(self) -> None:
        own = TABLE.properties({"closedAt": str(JAN_2), "lifecycleStage": "evangelist"})
        assert own["lifecyclestage"] == "evangelist"

    def test_is_nobody_where_the_close_date_is_a_property_of_the_accounts_own(self) -> None:
        own = PropertyTable(renamed={"closedAt": "won_on"})
        assert own.properties({"closedAt": str(JAN_2)}) == {"won_on": str(JAN_2)}


class TestRead:
    @pytest.mark.parametrize(
        ("field", "text", "value"),
        [
            ("city", "Rome", "Rome"),
            ("city", "", None),
            ("city", None, None),
            ("city", 5, None),
            ("unheardOf", "7", "7"),
            ("seats", "7", 7),
            ("seats", "7.0", 7),
            ("price", "20.5", 20.5),
            ("price", "-20", -20),
            ("price", "many", "many"),
            ("price", "inf", float("inf")),
            ("isVip", "true", True),
            ("isVip", "false", False),
            ("closedAt", "1704153600000", "1704153600000"),
            ("closedAt", "-5", "-5"),
            ("closedAt", "2024-01-02", "1704153600000"),
            ("closedAt", "2024-01-02T00:00:00Z", "1704153600000"),
            ("closedAt", "2024-01-02T01:00:00.789+01:00", "1704153600789"),
            ("closedAt", "yesterday", "yesterday"),
            ("paidOn", "2024-01-02", "1704153600000"),
        ],
    )
    def test_is_a_value_of_the_field(self, field: str, text: object, value: Wire | None) -> None:
        read = TABLE.value(field, text)
        assert (read, type(read)) == (value, type(value))

    @pytest.mark.parametrize(("text", "value"), [(str(2**53 - 1), 2**53 - 1), (str(2**53), float(2**53))])
    def test_numbers_beyond_what_a_float_holds_exactly_stay_floats(self, text: str, value: Wire) -> None:
        assert repr(TABLE.value("price", text)) == repr(value)
        assert repr(TABLE.value("price", f"-{text}")) == f"-{value!r}"

    @given(st.one_of(st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.integers(0, 10**12).map(str)))
    def test_is_what_was_sent(self, value: Wire) -> None:
        kind: FieldType = (
            "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "time"
        )
        table = PropertyTable({"field": kind})
        assert table.value("field", table.properties({"field": value})["field"]) == value


def test_the_table_of_a_catalogue_has_its_types_and_the_accounts_names() -> None:
    catalogue = Catalogue(
        [Field("plan", "decimal", "Plan", custom=True)],
        ContactNames({"plan": "plan__c"}, {"guid": "old_guid"}),
    )
    table = table_of(catalogue)
    assert (table.types["plan"], table.types["closedAt"], table.types["city"]) == ("decimal", "time", "text")
    assert (table.property_of("plan"), table.unique) == ("plan__c", {"guid": "old_guid"})
    assert table_of(catalogue) is table
