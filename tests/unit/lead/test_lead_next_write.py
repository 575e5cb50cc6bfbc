"""What the next request for a record is: to look it up, to read, to create it, or to set its fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from integration.core.values import MAIN_ACCOUNT, Cause, Link, Operation
from integration.lead.merge import confirm, learn
from integration.lead.next_write import FOUND_FOR, Reach, next_write
from integration.lead.record import Record, RecordState, Refusal
from tests.unit.lead.lead_values import CAUSE, DAY, NOW, finds, reads, record, sets, update

CONTACTS = Reach("contact_id", frozenset({"email", "guid"}), can_create=True)
LEADS = Reach("guid", frozenset(), can_create=False)
CITY = update("e1", 10, city="Berlin")
FILL = update("e2", 20, "if_empty", phone="030")
EMAIL, CUSTOMER = Link("email", "ann@example.com"), Link("customer", "cus_1")
FOUND = Link("contact_id", "42", NOW)
KNOWN = {"contact_id": "42", "email": "ann@example.com"}
BY_EMAIL = ("email", "ann@example.com")


def request(item: Record, *links: Link, reach: Reach = CONTACTS) -> Operation | Cause | None:
    return next_write(item, links, reach, NOW)


def test_with_nothing_unsent_there_is_none() -> None:
    sent = record(CITY)
    assert request(replace(sent, fields=confirm(sent.fields, {"city": "Berlin"})), FOUND) is None


def test_it_sets_what_is_unsent_and_names_the_events_that_did_so_once_and_in_order() -> None:
    item = record(update("e9", 30, plan="Pro"), update("e1", 10, city="Berlin", fax="1"))
    fields = {"plan": "Pro", "city": "Berlin", "fax": "1"}
    assert request(item, FOUND, EMAIL) == sets(fields, KNOWN, ["e1", "e9"])


def test_before_a_field_that_fills_only_what_is_blank_it_reads_that() -> None:
    item = record(CITY, FILL)
    assert request(item, FOUND, EMAIL) == reads(("phone",), KNOWN, ["e1", "e2"])
    learned = replace(item, fields=learn(item.fields, {"phone": None}))
    assert request(learned, FOUND, EMAIL) == sets({"city": "Berlin", "phone": "030"}, KNOWN, ["e1", "e2"])


def test_with_only_something_to_read_it_reads() -> None:
    item = record(FILL)
    item = replace(item, fields=confirm(item.fields, {"phone": "030"}))
    assert request(item, FOUND) == reads(("phone",), {"contact_id": "42"})


def test_who_hubspot_may_not_know_is_looked_up_before_anything_is_sent() -> None:
    assert request(record(CITY), CUSTOMER, EMAIL) == finds([BY_EMAIL], ["e1"])


def test_each_attempt_asks_by_the_next_identifier_first() -> None:
    links = (EMAIL, CUSTOMER, Link("guid", "g"))
    by_email_first, by_guid_first = [BY_EMAIL, ("guid", "g")], [("guid", "g"), BY_EMAIL]
    for attempts, keys in ((0, by_email_first), (1, by_guid_first), (2, by_email_first), (5, by_guid_first)):
        item = replace(record(CITY), attempts=attempts)
        assert request(item, *links) == finds(keys, ["e1"])


class TestCreating:
    item = replace(record(CITY), creates=True)

    def test_who_may_be_created_and_has_an_email_is_so_at_once(self) -> None:
        expected = sets({"city": "Berlin"}, {"email": "ann@example.com"}, ["e1"], creates=True)
        assert request(self.item, EMAIL) == expected

    def test_whom_hubspot_is_known_to_have_is_not_created(self) -> None:
        assert request(self.item, FOUND, EMAIL) == sets({"city": "Berlin"}, KNOWN, ["e1"])

    def test_who_may_be_created_is_looked_up_first_if_something_has_to_be_read(self) -> None:
        item = replace(record(FILL), creates=True)
        assert request(item, EMAIL) == finds([BY_EMAIL], ["e2"], may_create=True)

    def test_nobody_is_created_without_an_email(self) -> None:
        assert request(self.item, Link("guid", "g")) == finds([("guid", "g")], ["e1"])

    def test_nobody_is_created_where_the_api_cannot(self) -> None:
        cannot = replace(CONTACTS, can_create=False)
        assert request(self.item, EMAIL, reach=cannot) == finds([BY_EMAIL], ["e1"])


class TestWhatHubSpotSaidLongAgo:
    @pytest.mark.parametrize(
        ("found_at", "stands"), [(NOW - FOUND_FOR, True), (NOW - FOUND_FOR - 1, False), (None, True)]
    )
    def test_is_asked_again_after_a_week(self, found_at: int | None, stands: bool) -> None:
        link = Link("contact_id", "42", found_at)
        expected = sets({"city": "Berlin"}, KNOWN, ["e1"]) if stands else finds([BY_EMAIL], ["e1"])
        assert request(record(CITY), link, EMAIL) == expected

    def test_a_week_is_one(self) -> None:
        assert FOUND_FOR == 7 * DAY


class TestUnresolved:
    def test_who_cannot_be_asked_for_says_what_is_known_and_what_is_missing(self) -> None:
        assert request(record(CITY), CUSTOMER, Link("person", "7"), Link("customer", "cus_2")) == Cause(
            "unresolved",
            "the lead is known by customer, person only, and HubSpot needs its contact_id or email or guid",
            "it goes by itself once an event tells its contact_id or email or guid as well; or "
            "`leadwire leads link KIND=VALUE` it",
        )

    def test_of_whom_nothing_is_known_it_says_so(self) -> None:
        cause = request(record(CITY), reach=LEADS)
        assert isinstance(cause, Cause)
        assert cause.detail == "the lead is known by nothing only, and HubSpot needs its guid"


def test_what_hubspot_refused_is_not_sent_again() -> None:
    item = Record(
        MAIN_ACCOUNT,
        "lead-1",
        RecordState.DUE,
        record(CITY, update("e3", 30, plan="Pro")).fields,
        refused={"city": Refusal("Berlin", CAUSE)},
    )
    assert request(item, FOUND) == sets({"plan": "Pro"}, {"contact_id": "42"}, ["e3"])
