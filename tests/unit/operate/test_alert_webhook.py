"""The alert webhook over real HTTP: what is posted, what counts as taken, and the address stays secret."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from integration.operate.alert_webhook import AlertWebhook
from integration.operate.alerts import NotTaken
from tests.standin import standing_in

MESSAGE = {"text": "Leadwire: 1 dead letter", "count": 1}


class Receiver(BaseHTTPRequestHandler):
    """Answers as the path says (`/204`), and keeps what came."""

    received: list[tuple[str, str | None, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, self.headers["Content-Type"], json.loads(body)))
        status = int(self.path.split("/")[1])
        self.send_response(status)
        if status in (301, 307):
            self.send_header("Location", "/200/elsewhere")
        self.send_header("Content-Length", "1000000000")  # nobody will read so much
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, str | None, Any]]]]:
    received: list[tuple[str, str | None, Any]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Kept", (Receiver,), {"received": received}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 204])
def test_a_message_is_posted_as_json_and_taken(status: int) -> None:
    with receiver() as (url, received):
        assert AlertWebhook(f"{url}/{status}/T0/secret").post(MESSAGE) is None
    assert received == [(f"/{status}/T0/secret", "application/json", MESSAGE)]


@pytest.mark.parametrize("status", [301, 307, 404, 429, 500])
def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(status: int) -> None:
    with receiver() as (url, received):
        assert AlertWebhook(f"{url}/{status}").post(MESSAGE) == NotTaken(f"the receiver answered {status}")
    assert len(received) == 1


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    with standing_in() as chat:
        chat.status, chat.headers = 429, {"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}
        webhook = AlertWebhook(chat.url, clock=lambda: 30_000_000)
        assert webhook.post(MESSAGE) == NotTaken("the receiver answered 429", 90.0)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    failure = AlertWebhook(f"http://127.0.0.1:{port}/secret").post(MESSAGE)
    assert failure == NotTaken("connection refused")


def test_a_receiver_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        webhook = AlertWebhook(f"http://127.0.0.1:{server.getsockname()[1]}/secret", seconds=0.1)
        assert webhook.post(MESSAGE) == NotTaken("no whole answer within 0.1 s")


@pytest.mark.parametrize("url", ["http://[/secret", "http://a..b/secret", "http://x:99999/secret"])
def test_an_address_that_is_none_is_a_failure_without_the_address(url: str) -> None:
    failure = AlertWebhook(url).post(MESSAGE)
    assert failure is not None
    assert "secret" not in failure.why
