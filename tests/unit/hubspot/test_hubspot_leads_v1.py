from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from integration.core.settings import Settings
from integration.core.values import Find, Identifier, Outcome, Read, Write
from integration.http.oauth import StaticToken
from integration.hubspot import DESTINATIONS, Destination, build
from integration.hubspot.caller import Caller
from integration.hubspot.leads_v1 import LeadsV1
from integration.lead.properties import PropertyTable
from integration.sandbox import run_sandbox
from tests.contracts.destination import (
    HTML,
    NOON,
    TOKEN,
    Answer,
    DestinationContract,
    Received,
    ScriptedServer,
    write,
)


class TestLeadsV1(DestinationContract):
    def build(self, base_url: str, read_seconds: float = 5.0) -> Destination:
        return LeadsV1(Caller(base_url, seconds=read_seconds), StaticToken(TOKEN), lambda: NOON)

    def check_request(self, request: Received, sent: Write) -> None:
        guid = sent.identifiers["guid"]
        url = urlsplit(request.path)
        assert (request.method, url.path) == ("PUT", f"/leads/v1/lead/{guid}")
        assert parse_qs(url.query) == {"access_token": [TOKEN]}
        assert request.headers["content-type"] == "application/json"
        assert "authorization" not in request.headers
        blanked = {name: "" if value is None else value for name, value in sent.fields.items()}
        assert request.body == {**blanked, "guid": guid}

    def test_numbers_and_booleans_are_sent_as_they_are(self, server: ScriptedServer) -> None:
        sent = write(score=5, isDeleted=False, lastPayment=19.5)
        self.build(server.url).send([sent])
        (request,) = server.requests
        self.check_request(request, sent)

    @pytest.mark.parametrize("status", [200, 201, 204])
    def test_success_is_done(self, server: ScriptedServer, status: int) -> None:
        assert self.answered(server, Answer(status)) == Outcome("done", status)

    @pytest.mark.parametrize("body", [b"{}", b"not json", HTML, b"\xff\xfe"])
    def test_the_body_of_a_success_does_not_matter(self, server: ScriptedServer, body: bytes) -> None:
        assert self.answered(server, Answer(200, body=body)).kind == "done"

    def test_a_success_whose_body_breaks_off_is_done(self, server: ScriptedServer) -> None:
        assert self.answered(server, Answer(200, {"Content-Length": "1000"}, b"half")).kind == "done"

    def test_several_operations_give_their_outcomes_in_order(self, server: ScriptedServer) -> None:
        server.script += [Answer(200), Answer(404), Answer(500)]
        outcomes = self.build(server.url).send([write(f"{number:032x}") for number in range(4)])
        assert [outcome.kind for outcome in outcomes] == ["done", "not_found", "again", "done"]

    def test_a_lead_that_cannot_be_addressed_is_set_aside(self, server: ScriptedServer) -> None:
        (outcome,) = self.build(server.url).send([Write("lead-1", {}, {"city": "Cambridge"})])
        assert outcome.kind == "set_aside"
        assert outcome.cause is not None
        assert outcome.cause.code == "missing_guid"
        assert server.requests == []

    def test_quotes_the_guid_into_the_path(self, server: ScriptedServer) -> None:
        (outcome,) = self.build(server.url).send([write("a/../b?c#d é")])
        assert outcome.kind == "done"
        (request,) = server.requests
        assert request.path.startswith("/leads/v1/lead/a%2F..%2Fb%3Fc%23d%20%C3%A9?access_token=")
        assert request.body["guid"] == "a/../b?c#d é"

    @pytest.mark.parametrize("guid", ["..", ".", "a\nb", "a\0", "\ud800"])
    def test_sets_a_guid_aside_that_cannot_stand_in_a_path(self, server: ScriptedServer, guid: str) -> None:
        (outcome,) = self.build(server.url).send([write(guid)])
        assert outcome.kind == "set_aside"
        assert outcome.cause is not None
        assert outcome.cause.code == "invalid_guid"
        assert server.requests == []

    def test_stops_without_a_token(self, server: ScriptedServer) -> None:
        (outcome,) = LeadsV1(Caller(server.url), StaticToken("")).send([write()])
        assert outcome.kind == "stop"
        assert outcome.cause is not None
        assert outcome.cause.code == "token_missing"
        assert server.requests == []

    def test_a_netrc_file_adds_no_credentials(
        self, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password else\n", encoding="utf-8")
        os.chmod(netrc, 0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        sent = write()
        self.build(server.url).send([sent])
        self.check_request(server.requests[0], sent)

    def test_serves_several_threads(self, server: ScriptedServer) -> None:
        destination = self.build(server.url)
        kinds: list[str] = []
        threads = [
            threading.Thread(target=lambda: kinds.append(destination.send([write()])[0].kind))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kinds == ["done"] * 4

    def test_an_impossible_address_is_told_in_words(self) -> None:
        self.expect_unreachable(self.outcome("http://a..b:99999999"), "HUBSPOT_BASE_URL is not an address")


class TestRegistry:
    @pytest.mark.parametrize("name", sorted(DESTINATIONS))
    def test_builds_every_destination_that_the_settings_name(self, name: str) -> None:
        settings = Settings.read({"HUBSPOT_API": name, "HUBSPOT_ACCESS_TOKEN": TOKEN})
        destination = build(settings, StaticToken(settings.hubspot_access_token), PropertyTable)
        assert destination.name == name
        assert destination.max_batch >= 1
        assert TOKEN not in repr(destination)


@pytest.mark.parametrize("as_list", [True, False])
def test_reads_what_hubspot_has_whether_it_answers_a_list_or_an_object(as_list: bool) -> None:
    guid = "8a41f2f22906b93a012906b9438f0008"
    with run_sandbox(0, access_token=TOKEN) as sandbox:
        lead = {"phone": "123", "city": "", "closedAt": 0}
        requests.put(f"{sandbox.url}/_sandbox/leads/{guid}", json=lead, timeout=5).raise_for_status()
        if not as_list:
            body = json.dumps({"guid": guid, **lead})
            requests.post(f"{sandbox.url}/_sandbox/faults", json={"status": 200, "body": body}, timeout=5)
        destination = LeadsV1(Caller(sandbox.url), StaticToken(TOKEN))
        reads = ("phone", "city", "closedAt", "unheardOf")
        (outcome,) = destination.send([Read("lead-1", {"guid": guid}, reads)])

    assert outcome.kind == "done"
    assert outcome.values == {"phone": "123", "city": "", "closedAt": None, "unheardOf": None}


def test_an_answer_that_is_no_lead_is_asked_for_again() -> None:
    with run_sandbox(0, access_token=TOKEN) as sandbox:
        fault = {"status": 200, "body": "<html>hello</html>"}
        requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=5)
        destination = LeadsV1(Caller(sandbox.url), StaticToken(TOKEN))
        (outcome,) = destination.send([Read("lead-1", {"guid": "g"}, ("phone",))])

    assert outcome.kind == "again"
    assert outcome.cause is not None
    assert outcome.cause.detail == "what HubSpot sent of the lead cannot be read"


def found_by_email(server: ScriptedServer, listed: object) -> Outcome:
    server.script.append(Answer(200, body=json.dumps(listed).encode()))
    finds = [Identifier("email", "Ann@example.com")]
    destination = LeadsV1(Caller(server.url), StaticToken(TOKEN), lambda: NOON)
    (outcome,) = destination.send([Find("lead-1", finds)])
    return outcome


class TestFindingByEmail:
    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        server = ScriptedServer()
        yield server
        server.close()

    def test_the_one_lead_with_exactly_this_email_is_found(self, server: ScriptedServer) -> None:
        other = {"guid": "g2", "email": "joann@example.com"}
        outcome = found_by_email(server, {"leads": [other, {"guid": "g1", "email": "ann@EXAMPLE.com"}]})
        assert (outcome.kind, outcome.found) == ("done", {"guid": "g1"})
        (request,) = server.requests
        assert parse_qs(urlsplit(request.path).query)["search"] == ["Ann@example.com"]

    def test_none_is_not_found(self, server: ScriptedServer) -> None:
        gone = {"guid": "g1", "email": "ann@example.com", "isDeleted": True}
        outcome = found_by_email(server, {"leads": [gone]})
        assert outcome.kind == "not_found"

    def test_several_are_for_a_person_to_choose_from(self, server: ScriptedServer) -> None:
        twins = [{"guid": guid, "email": "ann@example.com"} for guid in ("g2", "g1")]
        outcome = found_by_email(server, {"leads": twins})
        assert outcome.kind == "set_aside"
        assert outcome.cause is not None
        assert outcome.cause.code == "ambiguous_lead"
        assert "guid 'g1', 'g2'" in outcome.cause.detail

    @pytest.mark.parametrize("body", ["<html>", {"leads": 5}, {"leads": [5]}])
    def test_what_is_no_list_of_leads_is_asked_for_again(self, server: ScriptedServer, body: object) -> None:
        assert found_by_email(server, body).kind == "again"
