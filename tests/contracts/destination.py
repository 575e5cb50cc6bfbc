"""What every destination must do, against a scripted HTTP server: inherit `DestinationContract`."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from integration.core.values import Find, Identifier, Outcome, Wire, Write
from integration.hubspot import Destination

TOKEN = "secret/token+with=signs"
TOKEN_FORMS = (TOKEN, "secret%2Ftoken%2Bwith%3Dsigns", "secret%2ftoken%2bwith%3dsigns")
GUID = "8a41f2f22906b93a012906b9438f0008"
CONTACT_ID = "51"
NOON = 1_732_363_200_000_000  # Sat, 23 Nov 2024 12:00:00 GMT
HTML = b"<html><body><h1>HTTP Status 500</h1></body></html>"


@dataclass(frozen=True)
class Answer:
    """One scripted answer; `cut` closes the connection instead, `endless` never ends the body,
    whose parts come `pause` seconds apart.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    cut: bool = False
    endless: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Received:
    """One request as the scripted server saw it; `connection` tells connections apart."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    connection: object


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up early is part of the tests."""


class ScriptedServer:
    """A tiny HubSpot: gives the answers in `script` one after the other, then 200, and keeps the requests."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[Received] = []
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script, requests = self.script, self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                content = json.loads(body) if body else None
                requests.append(Received(self.command, self.path, headers, content, self.connection))
                _give(self, script.pop(0) if script else Answer())

            do_GET = do_PUT = do_POST = do_PATCH = _serve  # noqa: N815 - http.server looks these names up

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _give(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    time.sleep(answer.delay)
    if answer.cut:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.endless:
        handler.end_headers()
        _write_for_ever(handler, answer)
        return
    if "Content-Length" not in answer.headers:
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body)
    handler.close_connection = handler.close_connection or "Content-Length" in answer.headers


def _write_for_ever(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(answer.body)
            time.sleep(answer.pause)
    except OSError:
        return


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write(guid: str = GUID, **fields: Wire | None) -> Write:
    """A write to the lead with this guid."""
    identifiers = {"guid": guid, "contact_id": CONTACT_ID}
    return Write("lead-1", identifiers, fields or {"city": "Cambridge"}, ("event-1",))


class DestinationContract(ABC):
    """Inherit, and say how to build the destination and what a request of it should look like."""

    @abstractmethod
    def build(self, base_url: str, read_seconds: float = 5.0) -> Destination:
        """The destination that uses `TOKEN`, and `NOON` as its clock."""

    @abstractmethod
    def check_request(self, request: Received, sent: Write) -> None:
        """Assert that the request carries exactly what is written."""

    def success(self) -> Answer:
        """How this API says that the one record of a call is written."""
        return Answer(200)

    def unknown_lead(self) -> Answer:
        """How this API says that it has no such lead."""
        return Answer(404)

    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        server = ScriptedServer()
        yield server
        server.close()

    @pytest.fixture(autouse=True)
    def _token_stays_out_of_the_log(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        caplog.set_level(logging.DEBUG)
        yield
        assert not any(form in caplog.text for form in TOKEN_FORMS)

    def outcome(self, base_url: str, read_seconds: float = 5.0) -> Outcome:
        (outcome,) = self.build(base_url, read_seconds).send([write()])
        assert not any(form in repr(outcome) for form in TOKEN_FORMS)
        if outcome.cause:
            assert outcome.cause.code
            assert outcome.cause.detail
            assert outcome.cause.cure
        return outcome

    def answered(self, server: ScriptedServer, answer: Answer, read_seconds: float = 5.0) -> Outcome:
        server.script.append(answer)
        return self.outcome(server.url, read_seconds)

    def test_sends_exactly_the_bundle(self, server: ScriptedServer) -> None:
        sent = write(city="Cambridge", state=None, lastName='O"Neil \u00e9\U0001f600')
        server.script.append(self.success())
        assert self.build(server.url).send([sent]) == [Outcome("done", 200)]
        (request,) = server.requests
        self.check_request(request, sent)

    def test_an_endless_body_does_not_hold_it_up(self, server: ScriptedServer) -> None:
        flood = Answer(500, body=b"x" * 65_536, endless=True)
        assert self.answered(server, flood, read_seconds=600).kind == "again"

    def test_a_body_that_drips_for_ever_does_not_hold_it_up(self, server: ScriptedServer) -> None:
        drip = Answer(500, body=b"x", endless=True, pause=0.02)
        assert self.answered(server, drip, read_seconds=0.2).kind == "again"

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_token_stops_delivery(self, server: ScriptedServer, status: int) -> None:
        outcome = self.answered(server, Answer(status, body=HTML))
        assert (outcome.kind, outcome.status) == ("stop", status)
        assert outcome.cause is not None
        assert "HUBSPOT_ACCESS_TOKEN" in outcome.cause.cure

    @pytest.mark.parametrize("status", [408, 423, 425, 429, 477, 500, 502, 503, 504, 524, 599])
    @pytest.mark.parametrize("body", [b"", HTML])
    def test_a_passing_trouble_is_tried_again(self, server: ScriptedServer, status: int, body: bytes) -> None:
        outcome = self.answered(server, Answer(status, body=body))
        assert (outcome.kind, outcome.status) == ("again", status)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("Sat, 23 Nov 2024 12:01:30 GMT", 90.0),
            ("Sat, 23 Nov 2024 11:00:00 GMT", 0.0),
            ("999999999", 86_400.0),
            ("soon", None),
        ],
    )
    def test_retry_after_is_honoured(self, server: ScriptedServer, value: str, seconds: float | None) -> None:
        outcome = self.answered(server, Answer(429, {"Retry-After": value}))
        assert (outcome.kind, outcome.retry_after) == ("again", seconds)

    @pytest.mark.parametrize("status", [400, 405, 409, 410, 415, 422])
    def test_a_refused_update_is_set_aside_with_what_hubspot_said(
        self, server: ScriptedServer, status: int
    ) -> None:
        outcome = self.answered(server, Answer(status, body=b"no such option"))
        assert (outcome.kind, outcome.status) == ("set_aside", status)
        assert outcome.cause is not None
        assert outcome.cause.code == "refused_by_hubspot"
        assert outcome.cause.detail == f"HubSpot answered {status}: 'no such option'"

    def test_an_unknown_lead_is_not_found(self, server: ScriptedServer) -> None:
        outcome = self.answered(server, self.unknown_lead())
        assert outcome.kind == "not_found"
        assert outcome.cause is not None
        assert outcome.cause.code == "lead_not_found"

    def found(self, server: ScriptedServer, answer: Answer) -> Outcome:
        """The outcome of looking a lead up by its email."""
        server.script.append(answer)
        sought = Find("lead-1", [Identifier("email", "ann@example.com")])
        (outcome,) = self.build(server.url).send([sought])
        return outcome

    @pytest.mark.parametrize(
        "body", [b"", HTML, b"{}", b"5", b'"x"', b'{"results": 5, "leads": 5}', b'{"results": null}']
    )
    def test_only_an_empty_list_says_that_a_lead_is_not_there(
        self, server: ScriptedServer, body: bytes
    ) -> None:
        outcome = self.found(server, Answer(200, body=body))
        assert outcome.kind == "again"
        assert outcome.cause is not None
        assert outcome.cause.code == "unreadable_answer"
        nobody = Answer(200, body=b'{"results": [], "leads": []}')
        assert self.found(server, nobody).kind == "not_found"

    def test_a_404_of_a_lookup_means_the_address_and_no_lead(self, server: ScriptedServer) -> None:
        outcome = self.found(server, Answer(404, body=HTML))
        assert (outcome.kind, outcome.status) == ("again", 404)
        assert outcome.cause is not None
        assert outcome.cause.code == "api_not_there"
        assert "HUBSPOT_API_VERSION" in outcome.cause.cure

    def test_a_redirect_is_not_followed(self, server: ScriptedServer) -> None:
        outcome = self.answered(server, Answer(302, {"Location": f"{server.url}/elsewhere"}))
        assert (outcome.kind, outcome.status, len(server.requests)) == ("set_aside", 302, 1)

    def test_a_cut_connection_is_tried_again(self, server: ScriptedServer) -> None:
        self.expect_unreachable(self.answered(server, Answer(cut=True)), "connection cut")

    def test_a_refused_connection_is_tried_again(self) -> None:
        self.expect_unreachable(self.outcome(f"http://127.0.0.1:{unused_port()}"), "connection refused")

    def test_a_slow_answer_is_tried_again(self, server: ScriptedServer) -> None:
        outcome = self.answered(server, Answer(delay=0.5), read_seconds=0.1)
        self.expect_unreachable(outcome, "no whole answer within 0.1 s")

    def test_a_server_without_tls_is_tried_again(self, server: ScriptedServer) -> None:
        self.expect_unreachable(self.outcome(server.url.replace("http:", "https:")), "TLS")

    def test_an_unknown_host_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        self.expect_unreachable(self.outcome("http://hubspot.invalid"), "the host name was not found")

    def expect_unreachable(self, outcome: Outcome, words: str) -> None:
        assert (outcome.kind, outcome.status) == ("again", None)
        assert outcome.cause is not None
        assert outcome.cause.code == "hubspot_unreachable"
        assert outcome.cause.detail.startswith(f"no answer from HubSpot: {words}")

    def test_a_token_that_the_answer_quotes_is_redacted(self, server: ScriptedServer) -> None:
        quoted = "bad request: " + " ".join(TOKEN_FORMS)
        outcome = self.answered(server, Answer(400, body=quoted.encode()))
        assert outcome.cause is not None
        assert "[redacted]" in outcome.cause.detail

    def test_a_connection_is_used_again(self, server: ScriptedServer) -> None:
        server.script += [self.success(), Answer(500, body=HTML), Answer(200, body=b"x" * 1000)]
        destination = self.build(server.url)
        for _ in range(4):
            destination.send([write()])
        assert len({id(request.connection) for request in server.requests}) == 1
