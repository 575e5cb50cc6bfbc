"""Whether a mapping's fields fit the HubSpot account, and what is said where they do not."""

from __future__ import annotations

import pytest

from integration.core.values import Wire
from integration.lead.catalogue import FieldType, PortalProperty
from integration.lead.misfits import Misfit, misfit, shared_property
from integration.lead.properties import ARCHIVE_FIELD, PropertyTable

PORTAL = {
    item.name: item
    for item in (
        PortalProperty("city", "string"),
        PortalProperty("zip", "string"),
        PortalProperty("created", "datetime", read_only=True),
        PortalProperty("tier", "enumeration", ("gold", "silver", "7")),
        PortalProperty("campaign", "enumeration", ("a",), external_options=True),
        PortalProperty("empty", "enumeration"),
    )
}


def found(field: str, *constants: Wire, kind: FieldType = "text", renamed: str = "") -> Misfit | None:
    table = PropertyTable({field: kind}, {field: renamed} if renamed else {})
    return misfit(field, constants, table, PORTAL)


def test_a_field_that_fits_has_none() -> None:
    assert found("city", "Rome") is None
    assert found(ARCHIVE_FIELD, kind="boolean") is None
    assert misfit("city", ["Rome"], PropertyTable(), PORTAL) is None, "of a field nobody declared: text"


def test_what_no_property_takes_says_why() -> None:
    assert found("ipAddress") == Misfit(
        "contacts have no property that takes ipAddress: HubSpot takes it from its own analytics",
        "take it out",
    )


def test_an_unknown_property_comes_with_a_guess_where_one_is_near() -> None:
    assert found("zipp") == Misfit(
        "HubSpot has no property zipp (zipp)",
        "did you mean zip? If not, create it in HubSpot, or name another under `contacts:` in "
        "mappings/fields.yaml",
    )
    assert found("quux", renamed="plan__c") == Misfit(
        "HubSpot has no property plan__c (quux)",
        "create it in HubSpot, or name another under `contacts:` in mappings/fields.yaml",
    )


@pytest.mark.parametrize(("name", "guessed"), [("citx", True), ("cites", False), ("cixx", False)])
def test_a_guess_is_near(name: str, guessed: bool) -> None:
    item = found(name)
    assert item is not None
    assert item.cure.startswith("did you mean city?") is guessed


def test_a_read_only_property_cannot_be_set() -> None:
    assert found("made", kind="time", renamed="created") == Misfit(
        "made is the property created, which is read-only", "take it out"
    )


@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [
        ("text", ("string", "enumeration", "phone_number"), ("number", "bool", "datetime", "date")),
        ("integer", ("number", "string"), ("bool", "datetime", "enumeration")),
        ("decimal", ("number", "string"), ("bool", "datetime", "enumeration")),
        ("boolean", ("bool", "enumeration", "string"), ("number", "datetime")),
        ("time", ("datetime", "string", "number"), ("date", "bool", "enumeration")),
        ("date", ("date", "datetime", "string"), ("number", "bool", "enumeration")),
    ],
)
def test_a_property_takes_the_types_that_hubspot_can_hold_in_it(
    kind: FieldType, fits: tuple[str, ...], does_not: tuple[str, ...]
) -> None:
    def of(property_type: str) -> Misfit | None:
        return misfit("f", [], PropertyTable({"f": kind}), {"f": PortalProperty("f", property_type)})

    assert [of(name) for name in fits] == [None] * len(fits)
    assert [of(name) for name in does_not] == [
        Misfit(
            f"f is of type {kind}, and the property f of type {name}",
            "correct the type in mappings/fields.yaml, or the property in HubSpot",
        )
        for name in does_not
    ]


class TestOptions:
    @pytest.mark.parametrize(
        "constants", [(), ("gold",), ("gold;silver",), (7,), ("gold", "silver"), ("gold;silver;7",)]
    )
    def test_that_the_property_has_are_taken(self, constants: tuple[Wire, ...]) -> None:
        assert found("tier", *constants) is None

    @pytest.mark.parametrize("constants", [("bronze",), ("gold", "bronze"), ("bronze", "gold")])
    def test_that_it_has_not_are_named_with_those_that_it_has(self, constants: tuple[Wire, ...]) -> None:
        assert found("level", *constants, renamed="tier") == Misfit(
            "'bronze' is not an option of the property tier (level)", "use one of gold, silver, 7"
        )

    def test_one_of_several_that_it_has_not_is_one_too_many(self) -> None:
        item = found("tier", "gold;bronze")
        assert item is not None
        assert item.message == "'gold;bronze' is not an option of the property tier (tier)"

    def test_kept_elsewhere_or_nowhere_are_not_judged(self) -> None:
        assert found("campaign", "unheard of") is None
        assert found("empty", "anything") is None

    def test_are_listed_up_to_twenty(self) -> None:
        options = tuple(f"o{number}" for number in range(30))
        item = misfit("f", ["x"], PropertyTable(), {"f": PortalProperty("f", "enumeration", options)})
        assert item is not None
        assert item.cure == "use one of " + ", ".join(options[:20])


def test_two_fields_that_are_one_property_say_so() -> None:
    assert shared_property("Plan", "plan", "plan") == Misfit(
        "Plan is the property plan, and so is plan: one would overwrite the other",
        "name another property for one of them under `contacts:` in mappings/fields.yaml",
    )
