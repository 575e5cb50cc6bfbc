"""Guesses about a payload: what they read, why, and that any payload gives a mapping without problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.authoring.draft import draft, draft_test
from integration.authoring.guess import Guesses, guess
from integration.core.values import SetAside
from integration.lead.catalogue import Catalogue
from integration.lead.fields_file import load_catalogue
from integration.mapping import SourceMapping, load_mapping
from integration.verify import build

ROOT = Path(__file__).parents[3]
CATALOGUE = load_catalogue(ROOT / "mappings/fields.yaml", "fields.yaml")
SECRETS = ("ACME_WEBHOOK_SECRET", "ACME_WEBHOOK_SECRET_OLD")


def guessed(payload: Any, catalogue: Catalogue = CATALOGUE) -> Guesses:
    return guess(payload, {field.name: field.type for field in catalogue.fields.values()})


def spec(found: Any) -> Any:
    return None if found is None else found.spec


class TestEvent:
    def test_names_at_the_top(self) -> None:
        found = guessed({"id": "e1", "type": "order.paid", "created": 1_763_890_200})
        assert (spec(found.id), spec(found.type), spec(found.time)) == (
            "id", "type", {"from": "created", "as": "unix_seconds"},
        )  # fmt: skip
        assert found.event_type == "order.paid"
        assert found.time is not None
        assert found.time.why == "'created' looks like seconds since 1970 (2025-11-23)"
        assert "not when it was sent" in found.time.check

    @pytest.mark.parametrize(
        ("value", "keys"),
        [
            (1_763_890_200, {"as": "unix_seconds"}),
            (1_763_890_200.5, {"as": "unix_seconds"}),
            ("1763890200", {"as": "unix_seconds"}),
            (1_763_890_200_123, {"as": "unix_millis"}),
            ("2025-11-23T09:30:00.123Z", {"as": "iso8601"}),
            ("2025-11-23 09:30:00", {"as": "iso8601"}),
            ("2025-11-23", {"as": "date", "format": "%Y-%m-%d"}),
            ("2025-11-23 09:30:00 +0100", {"as": "iso8601"}),
            ("2025-11-23 09:30:00 UTC", {"as": "date", "format": "%Y-%m-%d %H:%M:%S UTC"}),
            ("Sun, 23 Nov 2025 09:30:00 +0000", {"as": "date", "format": "%a, %d %b %Y %H:%M:%S %z"}),
            ("23.11.2025", {"as": "date", "format": "%d.%m.%Y"}),
        ],
    )
    def test_the_unit_of_a_time(self, value: Any, keys: dict[str, str]) -> None:
        assert spec(guessed({"timestamp": value}).time) == {"from": "timestamp", **keys}

    @pytest.mark.parametrize("value", [True, 17, "soon", "11/12/2025", None, 1e30, "9" * 20, ""])
    def test_what_is_no_time(self, value: Any) -> None:
        assert guessed({"timestamp": value}).time is None

    def test_a_time_without_a_zone_says_so(self) -> None:
        found = guessed({"created_at": "2025-11-23T09:30:00"}).time
        assert found is not None
        assert "without a zone: it is read as UTC" in found.why

    def test_a_type_with_parts_is_preferred(self) -> None:
        found = guessed({"type": "notification_event", "topic": "contact.created"})
        assert spec(found.type) == "topic"

    def test_an_id_without_a_type_beside_it_may_be_the_objects(self) -> None:
        assert guessed({"id": 7, "email": "jane@example.com"}).id is None

    def test_an_id_deep_inside_is_not_the_events(self) -> None:
        assert guessed({"type": "paid", "data": {"order": {"id": 7}}}).id is None

    def test_a_list_of_events(self) -> None:
        found = guessed({"sent": "2025-11-23T09:30:00Z", "events": [{"id": 1, "action": "paid"}]})
        assert (spec(found.each), spec(found.id), spec(found.type)) == ("events", "id", "action")

    def test_what_stands_around_a_list_is_read_from_the_whole_body(self) -> None:
        found = guessed({"timestamp": 1_763_890_200, "events": [{"type": "paid"}]})
        assert spec(found.time) == {"from": "$.timestamp", "as": "unix_seconds"}

    def test_an_array(self) -> None:
        assert spec(guessed([{"eventId": 1, "subscriptionType": "contact.creation"}]).each) == "@"

    def test_a_list_beside_a_type_is_part_of_the_one_event(self) -> None:
        assert guessed({"type": "paid", "events": [{"id": 1}]}).each is None

    def test_a_wrapper_counts_as_nothing(self) -> None:
        found = guessed({"notificationItems": [{"Item": {"eventCode": "AUTHORISATION", "eventId": "x"}}]})
        assert (spec(found.type), spec(found.id)) == ("Item.eventCode", "Item.eventId")

    def test_the_root_of_xml_can_be_the_type_and_attributes_are_passed_over(self) -> None:
        date = {"@type": "datetime", "#text": "2009-11-22T13:10:38Z"}
        found = guessed({"successful_payment_notification": {"transaction": {"@id": "x", "date": date}}})
        assert (spec(found.type), found.event_type) == ("keys(@)[0]", "successful_payment_notification")
        assert found.id is None
        assert spec(found.time) == {
            "from": 'successful_payment_notification.transaction.date."#text"', "as": "iso8601",
        }  # fmt: skip

    @pytest.mark.parametrize("payload", [{"Envelope": {"Body": {}}}, {"data": {"a": 1}}, {"new_order": 1}])
    def test_a_root_that_says_nothing_is_no_type(self, payload: dict[str, Any]) -> None:
        assert guessed(payload).type is None


class TestLead:
    def test_the_customers_address_is_preferred_to_the_merchants(self) -> None:
        found = guessed(
            {"merchant": {"email": "shop@example.com"}, "customer": {"email": "Jane@example.com"}}
        )
        email = found.lead["email"]
        assert email.spec == {"from": "customer.email", "clean": ["trim", "lower"]}
        assert email.check == "Check that it is the lead's, not yours. Other addresses: 'merchant.email'."

    def test_guid_and_contact_id(self) -> None:
        found = guessed(
            {"meta": {"hubspot_lead_guid": "8a41f2f22906b93a012906b9438f0008"}, "hs": {"vid": 501}}
        )
        assert {kind: known.spec for kind, known in found.lead.items()} == {
            "guid": "meta.hubspot_lead_guid", "contact_id": "hs.vid",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "payload", [{"customer": {"id": 7}}, {"customer": "c7"}, {"customer_id": "c7"}, {"customerId": 7}]
    )
    def test_the_senders_own_id(self, payload: dict[str, Any]) -> None:
        assert list(guessed(payload).keys) == ["customer"]

    @pytest.mark.parametrize(
        "payload", [{"id": 7}, {"user_id": 7}, {"customer_id": True}, {"customer_id": ""}]
    )
    def test_what_is_no_id_of_a_lead(self, payload: dict[str, Any]) -> None:
        assert not guessed(payload).keys


class TestFields:
    def fields(self, payload: Any) -> dict[str, Any]:
        return {name: found.spec for name, found in guessed(payload).fields.items()}

    def test_names_of_fields_and_other_names_for_them(self) -> None:
        person = {"first_name": "Jane", "surname": "Doe", "PostalCode": 12345, "company": {"name": "Acme"}}
        assert self.fields({"customer": person}) == {
            "firstName": "customer.first_name",
            "lastName": "customer.surname",
            "zip": {"from": "customer.PostalCode", "as": "text"},
            "company": "customer.company.name",
        }

    def test_own_fields_of_the_account(self) -> None:
        assert self.fields({"subscription": {"status": "active", "plan_id": "pro"}}) == {
            "subscriptionStatus": "subscription.status", "plan": "subscription.plan_id",
        }  # fmt: skip
        without = guessed({"subscription": {"plan_id": "pro"}}, Catalogue())
        assert not without.fields

    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (
                {"amount": 1999, "currency": "eur"},
                {"from": "amount", "as": "minor_units", "currency": "currency"},
            ),
            ({"amount": "19.99", "currency": "eur"}, {"from": "amount", "as": "decimal"}),
            ({"amount_cents": 1999}, {"from": "amount_cents", "as": "decimal", "scale": 0.01}),
            ({"amount": 19.99}, {"from": "amount", "as": "decimal"}),
        ],
    )
    def test_amounts(self, payload: dict[str, Any], expected: dict[str, Any]) -> None:
        assert self.fields(payload)["lastPayment"] == expected

    def test_a_state_is_one_of_an_address_only_beside_a_city(self) -> None:
        assert "state" not in self.fields({"order": {"state": "open"}})
        assert self.fields({"address": {"state": "NY", "city": "New York"}})["state"] == "address.state"

    def test_a_value_of_another_type_is_no_field(self) -> None:
        assert self.fields({"first_name": True, "score": "many", "city": "", "zip": None}) == {}

    def test_fields_that_do_harm_are_never_guessed(self) -> None:
        assert (
            self.fields({"closed_at": 1_763_890_200, "is_deleted": True, "email": "jane@example.com"}) == {}
        )

    def test_names_that_need_quotes(self) -> None:
        assert self.fields({"the-contact": {"First Name": "Jane"}}) == {
            "firstName": '"the-contact"."First Name"'
        }


def mapping_of(text: str, folder: Path) -> SourceMapping:
    file = folder / "mapping.yaml"
    file.write_text(text, encoding="utf-8")
    return load_mapping(file, "acme/mapping.yaml", CATALOGUE.field_problem)


class TestDraft:
    def test_every_guess_is_marked_with_its_reason_and_what_to_check(self, tmp_path: Path) -> None:
        payload = {"id": "e1", "type": "paid", "customer": {"email": "jane@example.com", "city": "Rome"}}
        text = draft("acme", "Acme", guessed(payload), SECRETS)
        mapping_of(text, tmp_path)
        lines = text.splitlines()
        for line in ("  type: type", "  id: id", "      city: customer.city", "  scheme: hmac"):
            assert "guess: " in " ".join(lines[lines.index(line) - 4 : lines.index(line)]), line
        assert "  # guess: no time, because nothing looks like one." in text
        assert "Check that it is the event's own id" in " ".join(text.split())

    def test_a_type_is_no_glob(self, tmp_path: Path) -> None:
        mapping = mapping_of(draft("acme", "Acme", guessed({"type": "a*[b]"}), SECRETS), tmp_path)
        assert mapping.rules[0].applies_to("a*[b]")
        assert not mapping.rules[0].applies_to("axb")


TEXTS = st.text() | st.sampled_from(
    ["a b", "true", "~", "1e3", "order.paid", "a*b", 'say "x"', "#", "jane@example.com", "EUR", "\u2028",
     "x: y", "1763890200", "2025-11-23", "2025-11-23T10:00:00Z", "0", "\x85", "\ufeff", "%", "12.50"]
)  # fmt: skip
NAMES = TEXTS | st.sampled_from(
    ["id", "type", "event", "events", "created_at", "email", "customer", "customer_id", "first-name", "city",
     "zip", "amount", "amount_cents", "currency", "plan", "data", "state", "hubspot_guid",
     "score", "items", "vid"]
)  # fmt: skip
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


@settings(deadline=None, max_examples=200)
@given(
    payload=st.dictionaries(NAMES, JSON, max_size=8) | st.lists(JSON, max_size=3), title=TEXTS.filter(bool)
)
def test_any_payload_gives_a_mapping_without_problems(
    tmp_path_factory: pytest.TempPathFactory, payload: Any, title: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "acme"
    folder.mkdir(exist_ok=True)
    (folder / "event.json").write_text(json.dumps(payload))
    test = draft_test(title, "event.json", {"expect": {"city": title, "score": 1e22}})
    mapping = mapping_of(f"{draft('acme', title, guessed(payload), SECRETS)}\ntests:\n{test}", folder)
    build(mapping.verify.options)
    assert mapping.title == mapping.tests[0].name == title
    assert mapping.tests[0].expect == {"city": title, "score": 1e22}
    for event in mapping.incoming(payload, {}, "", 1):
        meaning = mapping.translate(mapping.context(payload, event.position, {}, "", 1)).meaning
        wrong_type = isinstance(meaning, SetAside) and meaning.cause.code == "wrong_type"
        assert not wrong_type or event.position > 0
