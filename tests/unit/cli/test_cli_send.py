"""send: what arrives is what the source would have sent, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from click.testing import Result
from flask import Flask, Response, request
from werkzeug.serving import make_server

from integration.config.sources import Source, load_configuration
from integration.core.values import MAIN_ACCOUNT, RawRequest, Secret
from integration.verify import SCHEMES
from tests.unit.cli.conftest import PAID, Run, change

SendWith = Callable[[str, str], Result]


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


@pytest.fixture
def send_with(shop: Path, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> SendWith:
    """Send as a source with this `verify:` and this secret."""

    def send_with(verify: str, secret: str) -> Result:
        listed = "{scheme: token, header: X-Token, secrets: [SHOP_TOKEN, SHOP_TOKEN_OLD]}"
        change(shop / "mapping.yaml", listed, verify)
        monkeypatch.setenv("SHOP_TOKEN", secret)
        return run("send", "shop", paid)

    return send_with


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
        MAIN_ACCOUNT,
        "shop",
        "POST",
        "https://hooks.example.com/hooks/shop",
        "",
        receiver.headers,
        receiver.body,
        1,
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
    assert "OTHER is not a secret of shop; there are: SHOP_TOKEN, SHOP_TOKEN_OLD" in wrong.stderr


HEX = "{scheme: hmac, header: X-Sign, key_encoding: hex, secrets: [SHOP_TOKEN]}"
BASE64 = "{scheme: hmac, header: X-Sign, key_encoding: base64, secrets: [SHOP_TOKEN]}"
STANDARD = "{scheme: standard-webhooks, secrets: [SHOP_TOKEN]}"
BASIC = "{scheme: basic, secrets: [SHOP_TOKEN]}"
ADYEN = "{scheme: adyen, secrets: [SHOP_TOKEN]}"
BRAINTREE = "{scheme: braintree, secrets: [SHOP_TOKEN]}"
SALESFORCE = "{scheme: salesforce, secrets: [SHOP_TOKEN]}"


@pytest.mark.parametrize(
    ("verify", "secret", "said"),
    [
        (HEX, "no hex", "SHOP_TOKEN is not hex: copy it again."),
        (HEX, "2020", "SHOP_TOKEN holds nothing once it is read as hex: copy the whole secret."),
        (BASE64, "no base64!", "SHOP_TOKEN is not base64: copy it again."),
        (BASE64, "====", "SHOP_TOKEN holds nothing once it is read as base64: copy the whole secret."),
        (STANDARD, "whsec_", "SHOP_TOKEN holds nothing after whsec_: copy the whole secret."),
        (STANDARD, "whsec_!", "SHOP_TOKEN is not base64 after whsec_: copy it again."),
        (
            STANDARD,
            "whpk_a",
            "SHOP_TOKEN is a public key, which cannot sign: only the sender has the private",
        ),
        (BASIC, "no-colon", "SHOP_TOKEN holds no colon: write it as user:password."),
        (BASIC, " : ", "SHOP_TOKEN is blank: set it to user:password as given to the sender."),
        (ADYEN, "no hex", "SHOP_TOKEN is not hex: copy the HMAC key again."),
        (ADYEN, "00", "The body cannot be signed with SHOP_TOKEN: The body has no list `notificationItems`"),
        (BRAINTREE, "public:", "SHOP_TOKEN is not public_key:private_key: copy both API keys again."),
        (BRAINTREE, "a:b", "The body cannot be signed with SHOP_TOKEN: The body has no form field"),
        (SALESFORCE, "token", "SHOP_TOKEN is not organization id:token: the id has 15 or 18 characters."),
        (SALESFORCE, "00D000000000001:", "SHOP_TOKEN is not organization id:token: the id has 15 or"),
    ],
)
def test_a_secret_that_cannot_sign_is_one_line_with_the_setting_and_the_cure(
    verify: str, secret: str, said: str, send_with: SendWith
) -> None:
    result = send_with(verify, secret)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"leadwire: the request cannot be signed: {said}")
    assert (result.stderr.count("\n"), result.stdout) == (1, "")


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_blank_secret_is_one_that_is_not_set(scheme: str, send_with: SendWith) -> None:
    options = "header: X-Sign, " if scheme == "hmac" else ""
    result = send_with(f"{{scheme: {scheme}, {options}secrets: [SHOP_TOKEN]}}", " \n")
    assert (result.exit_code, result.stderr) == (
        1,
        "leadwire: the request cannot be signed: set SHOP_TOKEN\n",
    )


def test_a_secret_with_a_line_break_is_told_apart_from_a_server_that_is_down(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret\nhalf")
    result = run("send", "shop", paid)
    words = "it is not an address, or a header cannot hold its value"
    cure = "look at --url, and for line breaks in the secret and in --header"
    assert result.exit_code == 1
    assert result.stderr == f"leadwire: the request cannot be sent: {words}; {cure}\n"
    assert receiver.body == b""


def test_when_nobody_answers_it_says_what_to_do_and_no_secret(
    receiver: Receiver, paid: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    receiver.close()
    result = run("send", "shop", paid)
    address = f"http://127.0.0.1:{receiver.port}/hooks/shop"
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"leadwire: {address}: nobody answers: connection refused; start it with "
    )
    assert "s3cret" not in result.stderr
