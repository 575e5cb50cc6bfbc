"""Today's HubSpot as a destination: the contract, batches, and what answers mean for each row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests

from integration.core.values import Create, Find, Identifier, Outcome, Read, Wire, Write
from integration.http.oauth import StaticToken
from integration.hubspot import Destination
from integration.hubspot.caller import Caller
from integration.hubspot.contacts import Contacts
from integration.lead.properties import PropertyTable
from integration.sandbox import SandboxServer, run_sandbox
from integration.sandbox.contact_store import Property
from tests.contracts.destination import (
    CONTACT_ID,
    HTML,
    NOON,
    TOKEN,
    Answer,
    DestinationContract,
    Received,
    ScriptedServer,
)

TABLE = PropertyTable(
    types={"birthday": "date", "closedAt": "time", "visits": "integer"}, unique={"guid": "legacy_lead_guid"}
)
CUSTOM = (
    Property("birthday", "date"), Property("visits", "number"), Property("legacy_lead_guid", unique=True),
    Property("computed", "number", read_only=True), Property("tier", "enumeration", ("gold", "silver")),
)  # fmt: skip


def contacts(url: str, version: str = "2026-09", read_seconds: float = 5.0) -> Contacts:
    caller = Caller(url, seconds=read_seconds)
    return Contacts(caller, StaticToken(TOKEN), lambda: TABLE, version=version, clock=lambda: NOON)


class TestContacts(DestinationContract):
    def build(self, base_url: str, read_seconds: float = 5.0) -> Destination:
        return contacts(base_url, read_seconds=read_seconds)

    def success(self) -> Answer:
        row = {"id": CONTACT_ID, "properties": {}, "objectWriteTraceId": "lead-1"}
        return Answer(200, body=json.dumps({"status": "COMPLETE", "results": [row]}).encode())

    def unknown_lead(self) -> Answer:
        return Answer(404, body=encoded(missing(CONTACT_ID)))

    def check_request(self, request: Received, sent: Write) -> None:
        assert (request.method, request.path) == ("POST", "/crm/objects/2026-09/contacts/batch/update")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        properties = {name.lower(): "" if value is None else value for name, value in sent.fields.items()}
        row = {"id": CONTACT_ID, "properties": properties, "objectWriteTraceId": "lead-1"}
        assert request.body == {"inputs": [row]}

    @pytest.mark.parametrize(
        "body",
        [
            b"", HTML, b"{}", b"[]", b'{"status": "COMPLETE", "results": []}', b'{"results": [5]}',
            b'{"results": 5}', b'{"results": [], "errors": 5}',
            b'{"results": [], "errors": [{"context": 5}]}',
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("status", [200, 207])
    def test_a_success_that_wrote_nothing_is_an_error(
        self, server: ScriptedServer, status: int, body: bytes
    ) -> None:
        outcome = self.answered(server, Answer(status, body=body))
        assert outcome.kind == "again"
        assert outcome.cause is not None
        assert outcome.cause.code == "nothing_written"

    @pytest.mark.parametrize(
        ("message", "seconds"),
        [
            ("You have reached your daily limit.", 3600.0),
            ("You have reached your ten_secondly_rolling limit.", 10.0),
            ("You have reached your secondly limit.", 1.0),
        ],
    )
    def test_every_policy_of_a_429_has_its_wait(
        self, server: ScriptedServer, message: str, seconds: float
    ) -> None:
        outcome = self.answered(server, Answer(429, body=json.dumps({"message": message}).encode()))
        assert (outcome.kind, outcome.retry_after) == ("again", seconds)

    @pytest.mark.parametrize("body", [b'{"errors": 5}', b'{"errors": [{"context": 5}]}', b'{"message": 5}'])
    def test_a_refusal_of_any_form_is_set_aside(self, server: ScriptedServer, body: bytes) -> None:
        assert self.answered(server, Answer(400, body=body)).kind == "set_aside"

    def test_a_404_without_contacts_means_the_address(self, server: ScriptedServer) -> None:
        server.script.append(Answer(404, body=HTML))
        outcomes = contacts(server.url).send([lead("1", city="Paris"), lead("2", city="Rome")])
        assert [outcome.kind for outcome in outcomes] == ["again", "again"]
        assert {outcome.cause.code for outcome in outcomes if outcome.cause} == {"api_not_there"}

    def test_a_404_of_a_batch_costs_only_the_contact_that_it_names(self, server: ScriptedServer) -> None:
        server.script.append(Answer(404, body=encoded(missing("2"))))
        outcomes = contacts(server.url).send([lead("1", city="Paris"), lead("2", city="Rome")])
        assert [outcome.kind for outcome in outcomes] == ["split", "not_found"]

    @pytest.mark.parametrize("listed_in", ["message", "errors"])
    def test_a_bad_value_that_is_not_told_costs_no_good_one(
        self, server: ScriptedServer, listed_in: str
    ) -> None:
        item = {"error": "INVALID_OPTION", "name": "tier", "message": "it is none of the options"}
        by_message = {"message": f"Property values were not valid: {json.dumps([item])}"}
        by_errors = {"errors": [{"code": "INVALID_OPTION", "context": {"propertyName": ["tier"]}}]}
        answer = Answer(400, body=encoded(by_message if listed_in == "message" else by_errors))
        server.script += [answer, answer]
        destination = contacts(server.url)
        outcomes = destination.send([lead("1", tier="gold"), lead("2", tier="bronze"), lead("3", city="x")])
        assert [(outcome.kind, dict(outcome.refused_fields)) for outcome in outcomes] == [("split", {})] * 3
        (alone,) = destination.send([lead("2", tier="bronze")])
        assert (alone.kind, list(alone.refused_fields)) == ("again", ["tier"])

    @pytest.mark.parametrize(
        ("category", "kind"),
        [
            ("RATE_LIMITS", "again"),
            ("INTERNAL_ERROR", "again"),
            ("CONFLICT", "set_aside"),
            ("NEW", "set_aside"),
        ],
    )
    def test_the_error_of_a_row_is_judged_by_its_category(
        self, server: ScriptedServer, category: str, kind: str
    ) -> None:
        error = {"status": "error", "category": category, "context": {"objectWriteTraceId": ["lead-1"]}}
        outcome = self.answered(server, Answer(207, body=encoded({"results": [], "errors": [error]})))
        assert outcome.kind == kind

    @pytest.mark.parametrize("context", [{}, {"ids": ["ann@example.com"]}])
    def test_a_lookup_that_failed_says_nothing_of_the_lead(
        self, server: ScriptedServer, context: dict[str, list[str]]
    ) -> None:
        error = {"status": "error", "category": "INTERNAL_ERROR", "message": "later", "context": context}
        body = encoded({"results": [], "numErrors": 1, "errors": [error]})
        assert self.found(server, Answer(207, body=body)).kind == "again"

    def test_a_contact_that_was_merged_is_read_by_its_old_id(self, server: ScriptedServer) -> None:
        row = {"id": "99", "properties": {"city": "Paris", "hs_merged_object_ids": "40;51"}}
        server.script.append(Answer(200, body=encoded({"results": [row]})))
        reading = Read("lead-1", {"contact_id": "51"}, ("city",))
        (outcome,) = contacts(server.url).send([reading])
        assert (outcome.kind, outcome.values) == ("done", {"city": "Paris"})
        assert server.requests[0].body["properties"] == ["city", "hs_merged_object_ids"]

    def test_v3_has_its_own_path(self, server: ScriptedServer) -> None:
        contacts(server.url, "v3").send([lead("1", city="Paris")])
        assert server.requests[0].path == "/crm/v3/objects/contacts/batch/update"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN, properties=CUSTOM) as server:
        yield server


def lead(contact_id: str, **fields: Wire | None) -> Write:
    return Write(f"lead-{contact_id}", {"contact_id": contact_id}, fields)


def seed(server: SandboxServer, id: str, **properties: str) -> None:
    answer = requests.put(f"{server.url}/_sandbox/contacts/{id}", json=properties, timeout=5)
    assert answer.status_code == 200, answer.text


def contact(server: SandboxServer, id: str) -> dict[str, Any]:
    properties: dict[str, Any] = requests.get(f"{server.url}/_sandbox/contacts/{id}", timeout=5).json()[
        "properties"
    ]
    return properties


def encoded(content: object) -> bytes:
    return json.dumps(content).encode()


def missing(id: str) -> dict[str, Any]:
    message = f"No contact with ID {id} exists"
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"id": [id]}}


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
class TestAgainstTheSandbox:
    def test_many_leads_share_one_request_and_are_told_apart(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        for id in ("1", "2", "4"):
            seed(sandbox, id, city="Berlin")
        sent = [lead("1", city="Paris"), lead("3", city="Rome"), lead("2", city="Lima"), lead("4", zip="1")]
        outcomes = contacts(sandbox.url, version).send(sent)
        assert kinds(outcomes) == ["done", "not_found", "done", "done"]
        assert [contact(sandbox, id)["city"] for id in ("1", "2", "4")] == ["Paris", "Lima", "Berlin"]
        assert requests.get(f"{sandbox.url}/_sandbox/stats", timeout=5).json()["requests"] == 1

    def test_a_lead_is_found_by_any_of_its_emails(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "7", email="ann@example.com", hs_additional_emails="a@example.com;b@example.com")
        sent = [
            Find("lead-1", [Identifier("email", "B@example.com")]),
            Find("lead-2", [Identifier("email", "nobody@example.com")]),
        ]
        found, missing = contacts(sandbox.url, version).send(sent)
        assert (found.kind, found.found) == ("done", {"contact_id": "7"})
        assert missing.kind == "not_found"

    def test_two_contacts_for_one_lead_are_for_a_person_to_choose_from(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        seed(sandbox, "7", email="ann@example.com")
        seed(sandbox, "8", email="ann@example.org")
        sought = [Identifier("email", "ann@example.com"), Identifier("email", "ann@example.org")]
        (outcome,) = contacts(sandbox.url, version).send([Find("lead-1", sought)])
        assert outcome.kind == "set_aside"
        assert outcome.cause is not None
        assert outcome.cause.code == "ambiguous_lead"
        assert "contact_id '7', '8'" in outcome.cause.detail

    def test_a_guid_is_found_in_the_property_that_holds_it(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        seed(sandbox, "7", legacy_lead_guid="8a41")
        sought = [Identifier("guid", "8a41")]
        (outcome,) = contacts(sandbox.url, version).send([Find("lead-1", sought)])
        assert outcome.found == {"contact_id": "7"}

    def test_a_lead_that_may_be_created_is(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "7", email="ann@example.com")
        sent = [
            Create(email, {"email": email}, {"city": "Paris"})
            for email in ("new@example.com", "ann@example.com")
        ]
        outcomes = contacts(sandbox.url, version).send(sent)
        assert kinds(outcomes) == ["done", "done"]
        created = outcomes[0].found["contact_id"]
        assert contact(sandbox, created)["email"] == "new@example.com"
        assert outcomes[1].found == {"contact_id": "7"}
        assert contact(sandbox, "7")["city"] == "Paris"

    def test_a_payment_makes_a_customer_and_nothing_moves_one_back(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        seed(sandbox, "1", lifecyclestage="lead")
        seed(sandbox, "2", lifecyclestage="evangelist")
        contacts(sandbox.url, version).send([lead(id, closedAt="1323293954000") for id in ("1", "2")])
        assert contact(sandbox, "1")["lifecyclestage"] == "customer"
        assert contact(sandbox, "1")["closedate"] == "2011-12-07T21:39:14.000Z"
        assert contact(sandbox, "2")["lifecyclestage"] == "evangelist"

    def test_a_mapping_that_says_so_moves_a_stage_back(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "1", lifecyclestage="customer", city="Berlin")
        destination = contacts(sandbox.url, version)
        write = lead("1", lifecyclestage="lead", city="Paris")
        assert destination.family(write).cost == 3
        assert kinds(destination.send([write])) == ["done"]
        assert contact(sandbox, "1")["lifecyclestage"] == "lead"
        assert contact(sandbox, "1")["city"] == "Paris"
        assert requests.get(f"{sandbox.url}/_sandbox/stats", timeout=5).json()["requests"] == 3

    def test_a_stage_that_hubspot_does_not_know_costs_itself_and_the_contact_keeps_its_own(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        seed(sandbox, "1", lifecyclestage="customer")
        (outcome,) = contacts(sandbox.url, version).send([lead("1", lifecyclestage="no such", city="Paris")])
        assert list(outcome.refused_fields) == ["lifecyclestage"]
        assert contact(sandbox, "1")["lifecyclestage"] == "customer"

    def test_a_lead_whose_stage_cannot_be_cleared_costs_the_others_nothing(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        seed(sandbox, "1", lifecyclestage="customer", city="Berlin")
        sent = [lead("404", lifecyclestage="lead"), lead("1", lifecyclestage="lead", city="Paris")]
        assert kinds(contacts(sandbox.url, version).send(sent)) == ["not_found", "done"]
        assert contact(sandbox, "1")["city"] == "Paris", "done means that all of it is written"
        assert contact(sandbox, "1")["lifecyclestage"] == "lead"

    def test_values_are_read_as_the_leads_api_has_them(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "1", closedate="1323293954000", visits="3", city="Paris")
        read = Read("lead-1", {"contact_id": "1"}, ("closedAt", "visits", "city", "phone"))
        (outcome,) = contacts(sandbox.url, version).send([read])
        assert outcome.values == {"closedAt": "1323293954000", "visits": 3, "city": "Paris", "phone": None}

    def test_a_day_is_sent_as_its_midnight(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "1")
        outcomes = contacts(sandbox.url, version).send([lead("1", birthday="1323293954000")])
        assert kinds(outcomes) == ["done"]
        assert contact(sandbox, "1")["birthday"] == "2011-12-07"

    def test_a_deleted_lead_is_archived(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "1")
        outcomes = contacts(sandbox.url, version).send([lead("1", isDeleted=True, city="Paris")])
        assert kinds(outcomes) == ["done"]
        assert requests.get(f"{sandbox.url}/_sandbox/contacts/1", timeout=5).status_code == 404

    def test_one_bad_email_of_a_hundred_costs_its_own_field_only(
        self, sandbox: SandboxServer, version: str
    ) -> None:
        for number in range(1, 101):
            seed(sandbox, str(number))
        sent = [
            lead(str(number), email="no@address" if number == 50 else f"a{number}@example.com")
            for number in range(1, 101)
        ]
        outcomes = contacts(sandbox.url, version).send(sent)
        assert sorted(set(kinds(outcomes))) == ["again", "split"]
        bad = outcomes[49]
        assert (bad.kind, list(bad.refused_fields)) == ("again", ["email"])
        assert "Email address no@address is invalid" in bad.refused_fields["email"].detail

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"plan": "Pro"}, "create the property plan in HubSpot or take plan out of the mapping"),
            ({"computed": 5}, "take computed out of the mapping: HubSpot keeps it itself"),
            ({"tier": "bronze"}, "correct tier in the mapping, at the source, or as a property in HubSpot"),
        ],
    )
    def test_a_field_that_hubspot_does_not_take_is_named_with_its_cure(
        self, sandbox: SandboxServer, version: str, fields: dict[str, Wire], words: str
    ) -> None:
        seed(sandbox, "1")
        (outcome,) = contacts(sandbox.url, version).send([lead("1", city="Paris", **fields)])
        assert outcome.kind == "again"
        (cause,) = outcome.refused_fields.values()
        assert (cause.code, words in cause.cure) == ("field_refused", True)

    def test_a_conflict_is_narrowed_down_by_halves(self, sandbox: SandboxServer, version: str) -> None:
        seed(sandbox, "1", email="ann@example.com")
        seed(sandbox, "2")
        seed(sandbox, "3")
        destination = contacts(sandbox.url, version)
        conflicting = lead("2", email="ann@example.com")
        assert kinds(destination.send([conflicting, lead("3", city="Rome")])) == ["split", "split"]
        (outcome,) = destination.send([conflicting])
        assert outcome.kind == "set_aside"
        assert outcome.cause is not None
        assert "Contact already exists. Existing ID: 1" in outcome.cause.detail


def test_a_field_without_a_property_costs_no_request(sandbox: SandboxServer) -> None:
    (outcome,) = contacts(sandbox.url).send([lead("1", city="Paris", emailOptOut=True)])
    assert (outcome.kind, list(outcome.refused_fields)) == ("again", ["emailOptOut"])
    assert "communication preferences" in outcome.refused_fields["emailOptOut"].detail
    assert requests.get(f"{sandbox.url}/_sandbox/stats", timeout=5).json()["requests"] == 0


def test_a_contact_is_never_twice_in_a_request(sandbox: SandboxServer) -> None:
    seed(sandbox, "1")
    again = Write("lead-other", {"contact_id": "1"}, {"zip": "1"})
    assert kinds(contacts(sandbox.url).send([lead("1", city="Paris"), again])) == ["done", "again"]


def test_an_email_is_never_twice_in_a_request(sandbox: SandboxServer) -> None:
    emails = ("ann@example.com", "Ann@Example.com")
    sent = [Create(email, {"email": email}, {"city": "Paris"}) for email in emails]
    assert kinds(contacts(sandbox.url).send(sent)) == ["done", "again"]
