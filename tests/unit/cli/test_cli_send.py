"""send: what arrives is what the source would have sent, signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from integration.pipeline.sources import Source, load_configuration
from integration.records import RawRequest, Secret
from tests.unit.cli.conftest import PAID, Run, change


class Receiver:
    """A web server that keeps the last request and answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.url = ""
        app = Flask("receiver")
        app.add_url_rule("/<path:path>", view_func=self._receive, methods=["POST"])
        self.server = make_server("127.0.0.1", 0, app)
        self.port = self.server.port
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def _receive(self, path: str) -> Response:
        self.url = f"/{path}?{request.query_string.decode()}"
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body = request.get_data()
        return Response('{"status": "accepted\x1b"}', self.status)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("PORT", str(receiver.port))
    yield receiver
    receiver.close()


@pytest.fixture
def paid(shop: Path) -> str:
    return str(shop / "examples" / "paid.json")


def test_signs_as_the_source_and_shows_the_answer(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN_OLD", "the second, for the first is not set")
    result = run("send", "shop", paid)
    assert result.exit_code == 0
    assert result.output == '200 OK\n{"status": "accepted\\x1b"}\n'
    assert receiver.url == "/hooks/shop?"
    assert json.loads(receiver.body) == PAID
    assert receiver.headers["x-token"] == "the second, for the first is not set"
    assert receiver.headers["content-type"] == "application/json"


def test_a_chosen_secret_address_and_header(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "first")
    monkeypatch.setenv("SHOP_TOKEN_OLD", "second")
    url = f"http://127.0.0.1:{receiver.port}/elsewhere"
    arguments = ("--url", url, "--secret-setting", "SHOP_TOKEN_OLD", "--header", "X-Extra=1")
    assert run("send", "shop", paid, *arguments).exit_code == 0
    assert receiver.url == "/elsewhere?"
    assert (receiver.headers["x-token"], receiver.headers["x-extra"]) == ("second", "1")


def test_values_can_be_changed_so_that_it_is_no_duplicate(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t")
    assert run("send", "shop", paid, "--set", "id=evt_2", "--set", "a.b=3").exit_code == 0
    assert json.loads(receiver.body) == {**PAID, "id": "evt_2", "a": {"b": 3}}
    wrong = run("send", "shop", paid, "--set", "id.part=1")
    assert (wrong.exit_code, wrong.stderr) == (1, "leadwire: id.part: the payload has no object there\n")
    assert run("send", "shop", paid, "--set", "id").exit_code == 2


def test_a_credential_in_the_query_goes_along(
    receiver: Receiver, shop: Path, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(shop / "mapping.yaml", "header: X-Token", "query: key")
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    assert run("send", "shop", paid).exit_code == 0
    assert receiver.url == "/hooks/shop?key=s3cret"


def test_a_signature_over_the_url_is_made_over_the_public_one(
    receiver: Receiver, shop: Path, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = "{scheme: hmac, header: X-Sign, template: '{url}{body}', secrets: [SHOP_TOKEN]}"
    change(
        shop / "mapping.yaml",
        "{scheme: token, header: X-Token, secrets: [SHOP_TOKEN, SHOP_TOKEN_OLD]}",
        verify,
    )
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    monkeypatch.setenv("PUBLIC_URL", "https://hooks.example.com")
    assert run("send", "shop", paid).exit_code == 0
    source = load_configuration(shop.parent, {}).sources["shop"]
    assert isinstance(source, Source)
    arrived = RawRequest(
        "shop", "POST", "https://hooks.example.com/hooks/shop", "", receiver.headers, receiver.body, 1
    )
    assert source.scheme.verify(arrived, [Secret("SHOP_TOKEN", "s3cret")], 1).accepted


def test_anything_but_2xx_exits_1(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t")
    receiver.status = 401
    result = run("send", "shop", paid)
    assert result.exit_code == 1
    assert result.output.startswith("401 UNAUTHORIZED\n")


def test_without_a_secret_it_says_which_setting_is_missing(paid: str, run: Run) -> None:
    result = run("send", "shop", paid)
    assert (result.exit_code, result.stderr) == (
        1,
        "leadwire: the request cannot be signed: set SHOP_TOKEN or SHOP_TOKEN_OLD\n",
    )
    wrong = run("send", "shop", paid, "--secret-setting", "OTHER")
    assert wrong.exit_code == 2
    assert "OTHER is no secret of shop; there are: SHOP_TOKEN, SHOP_TOKEN_OLD" in wrong.stderr


def test_when_nobody_answers_it_says_what_to_do_and_no_secret(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    receiver.close()
    result = run("send", "shop", paid)
    address = f"http://127.0.0.1:{receiver.port}/hooks/shop"
    assert result.exit_code == 1
    assert result.stderr.startswith(f"leadwire: {address}: nobody answers (ConnectionError); start it with ")
    assert "s3cret" not in result.stderr
