"""What HubSpot is asked next for a record: one operation, or why there is none."""

from __future__ import annotations

from dataclasses import replace

from integration.core.values import Cause, Create, FieldChange, Find, Identifier, Link, Read, Update, Write
from integration.lead.merge import merge
from integration.lead.next_write import FOUND_FOR, Reach, next_write
from integration.lead.record import Record

NOW = 1_764_000_000_000_000
CONTACTS = Reach("contact_id", frozenset({"email", "customer"}), can_create=True)
EMAIL, KEY = Link("email", "ann@example.com"), Link("customer", "cus_1")


def record(rule: str = "latest", *, creates: bool = False) -> Record:
    change = FieldChange("city", "Rome", rule, "mappings/shop/mapping.yaml:7", "paid")  # type: ignore[arg-type]
    return Record("lead-1", fields=merge({}, [Update("01A-0", (10, "shop/1"), (change,))]), creates=creates)


def test_a_record_with_nothing_unsent_asks_nothing() -> None:
    assert next_write(Record("lead-1"), [EMAIL], CONTACTS, NOW) is None


def test_a_record_that_hubspots_api_can_address_is_written() -> None:
    links = [Link("contact_id", "51"), EMAIL]
    known = {"contact_id": "51", "email": "ann@example.com"}

    operation = next_write(record(creates=True), links, CONTACTS, NOW)

    assert operation == Write("lead-1", known, {"city": "Rome"}, ["01A-0"])


def test_a_field_that_fills_only_what_is_blank_is_read_before_anything_is_written() -> None:
    operation = next_write(record("if_empty"), [Link("contact_id", "51")], CONTACTS, NOW)

    assert isinstance(operation, Read)
    assert (operation.names, operation.identifiers) == (("city",), {"contact_id": "51"})


def test_a_record_that_may_be_created_is_sent_by_its_email() -> None:
    operation = next_write(record(creates=True), [EMAIL], CONTACTS, NOW)

    assert operation == Create("lead-1", {"email": "ann@example.com"}, {"city": "Rome"}, ["01A-0"])


def test_a_record_to_create_is_looked_for_first_where_a_field_has_to_be_read() -> None:
    operation = next_write(record("if_empty", creates=True), [EMAIL], CONTACTS, NOW)

    assert isinstance(operation, Find)
    assert operation.may_create


def test_a_record_is_looked_for_by_one_identifier_after_the_other() -> None:
    sought = [Identifier("email", "ann@example.com"), Identifier("customer", "cus_1")]

    first = next_write(record(), [EMAIL, KEY], CONTACTS, NOW)
    second = next_write(replace(record(), attempts=1), [EMAIL, KEY], CONTACTS, NOW)

    assert first == Find("lead-1", sought, ["01A-0"])
    assert second == Find("lead-1", sought[::-1], ["01A-0"])


def test_an_id_that_hubspot_told_over_a_week_ago_is_asked_for_again() -> None:
    links = [Link("contact_id", "51", found_at=NOW - FOUND_FOR - 1), EMAIL]

    assert isinstance(next_write(record(), links, CONTACTS, NOW), Find)
    assert isinstance(next_write(record(), links, CONTACTS, NOW - 1), Write)


def test_a_record_that_no_identifier_finds_waits_for_one_and_says_which() -> None:
    cause = next_write(record(), [Link("order", "o-1")], CONTACTS, NOW)

    assert isinstance(cause, Cause)
    assert cause.code == "unresolved"
    assert cause.detail == (
        "the lead is known by order only, and HubSpot needs its contact_id or customer or email"
    )
