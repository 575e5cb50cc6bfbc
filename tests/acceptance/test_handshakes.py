"""Handshakes over real HTTP: each system gets the answer that it wants, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, RawRequest
from integration.pipeline.handshakes import LARGEST_HANDSHAKE
from integration.verify.handshake import LONGEST_VALUE
from tests.acceptance.served import MADE, Served, made, served, shipped
from tests.vectors import FOLDER as VECTORS
from tests.vectors import read_vector, secret_of

HANDSHAKES = Path(__file__).parents[1] / "data" / "handshakes"
EXAMPLES = Path(__file__).parents[2] / "mappings"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}

ASANA = {"header": "X-Hook-Secret", "verified": False, "reply_header": "X-Hook-Secret"}
META = {
    "method": "GET",
    "query": "hub.challenge",
    "token": {"query": "hub.verify_token", "secret": "META_VERIFY_TOKEN"},
    "reply": "{value}",
}
MSGRAPH = {"query": "validationToken", "verified": False, "reply": "{value}"}
SLACK = {"body": "challenge", "when": {"type": "url_verification"}, "reply": "{value}"}
ZOOM = {
    "body": "payload.plainToken",
    "when": {"event": "endpoint.url_validation"},
    "reply": '{"plainToken": "{value}", "encryptedToken": "{hmac}"}',
    "content_type": "application/json",
}

SIGNS_NOTHING = {"scheme": "token"}
SLACK_SIGNS = {
    "scheme": "hmac",
    "header": "X-Slack-Signature",
    "prefix": "v0=",
    "timestamp": {"header": "X-Slack-Request-Timestamp"},
    "template": "v0:{timestamp}:{body}",
}
ZOOM_SIGNS = {
    **SLACK_SIGNS,
    "header": "x-zm-signature",
    "timestamp": {"header": "x-zm-request-timestamp"},
}


def recorded(name: str) -> dict[str, Any]:
    vector = read_vector(HANDSHAKES / f"vector_{name}.json")
    vector["body"] = (HANDSHAKES / vector["body_file"]).read_bytes()
    return vector


@contextmanager
def system(
    folder: Path, vector: Mapping[str, Any], handshake: Mapping[str, Any], verify: Mapping[str, Any]
) -> Iterator[Served]:
    """A source with this handshake, at the time of the vector, with its secret if it has one."""
    mappings = made(folder, verify, handshake=[handshake])
    secret = vector["secret"] or "unused"
    tokens = {"META_VERIFY_TOKEN": secret}
    address, now = vector["url"], vector["now"]
    with served(mappings, MADE, secret, sent_to=address, now=now, environ=tokens) as application:
        yield application


@contextmanager
def ready(folder: Path, source: str, secret: str = "s3cret") -> Iterator[Served]:
    """A shipped source."""
    mappings = shipped(folder, source)
    address = f"https://hooks.example.com/hooks/{source}"
    with served(mappings, source, secret, sent_to=address, now=1_759_000_000) as application:
        yield application


def ask(application: Served, vector: Mapping[str, Any]) -> requests.Response:
    """The answer to the vector's request as it is."""
    query = urlsplit(vector["url"]).query
    return requests.request(
        vector["method"],
        application.url + (f"?{query}" if query else ""),
        data=vector["body"],
        headers=vector["headers"],
        timeout=10,
    )


def signed(application: Served, vector: Mapping[str, Any]) -> dict[str, Any]:
    """The vector with the signature that its system adds, which the recorded one lacks."""
    headers = {name.lower(): text for name, text in vector["headers"].items()}
    at = vector["now"] * MICROS_PER_SECOND
    plain = RawRequest(MAIN_ACCOUNT, MADE, vector["method"], vector["url"], "", headers, vector["body"], at)
    with_signature = application.source.scheme.sign(plain, application.source.secrets[0], at)
    return {**vector, "headers": dict(with_signature.headers)}


def assert_answered(answer: requests.Response, kind: str, body: str, **headers: str) -> None:
    """The whole of what a browser or a sender can see: nothing of it may be taken for a page."""
    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {name: answer.headers[name] for name in headers} == headers
    assert "Set-Cookie" not in answer.headers


def assert_refused(
    answer: requests.Response, said: str = "The handshake's token or value is not right."
) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {"title": "Forbidden", "status": 403, "code": "handshake_refused", "detail": said}
    assert answer.status_code == 403


def test_every_recorded_handshake_is_tested_here() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")

    names = [file.stem.removeprefix("vector_") for file in HANDSHAKES.glob("vector_*.json")]
    assert [name for name in names if f'recorded("{name}")' not in tested] == []


class TestZoom:
    def test_both_tokens_come_back_as_json(self, tmp_path: Path) -> None:
        vector = recorded("zoom")
        with system(tmp_path, vector, ZOOM, ZOOM_SIGNS) as zoom:
            answer = ask(zoom, signed(zoom, vector))

            wanted = vector["expect_response"]["json"]
            assert_answered(answer, "application/json", json.dumps(wanted))
            assert zoom.stored == (0, 0)

    def test_without_a_signature_nothing_is_signed_for_anybody(self, tmp_path: Path) -> None:
        vector = recorded("zoom")
        with system(tmp_path, vector, ZOOM, ZOOM_SIGNS) as zoom:
            answer = ask(zoom, vector)

            assert (answer.status_code, answer.json()["code"]) == (401, "not_verified")
            assert vector["expect_response"]["json"]["encryptedToken"] not in answer.text
            assert zoom.stored == (0, 1)


def test_slack_gets_its_challenge(tmp_path: Path) -> None:
    vector = recorded("slack")
    with system(tmp_path, vector, SLACK, SLACK_SIGNS) as slack:
        answer = ask(slack, signed(slack, vector))

        assert_answered(answer, "text/plain", vector["expect_response"]["body"])
        assert slack.stored == (0, 0)


class TestMicrosoftGraph:
    def test_the_token_comes_back_decoded_as_plain_text(self, tmp_path: Path) -> None:
        vector = recorded("msgraph")
        with system(tmp_path, vector, MSGRAPH, SIGNS_NOTHING) as graph:
            answer = ask(graph, vector)

            wanted = vector["expect_response"]
            assert_answered(answer, wanted["content_type"], wanted["body"])
            assert graph.stored == (0, 0)

    def test_markup_is_no_page(self, tmp_path: Path) -> None:
        vector = recorded("msgraph")
        vector["url"] = vector["url"].partition("=")[0] + "=%3Cscript%3Ealert(1)%3C/script%3E%0d%0aX-A:%20b"
        with system(tmp_path, vector, MSGRAPH, SIGNS_NOTHING) as graph:
            answer = ask(graph, vector)

            assert_answered(answer, "text/plain", "<script>alert(1)</script>\r\nX-A: b")
            assert "X-A" not in answer.headers

    def test_a_value_that_is_too_long_is_not_echoed(self, tmp_path: Path) -> None:
        vector = recorded("msgraph")
        vector["url"] = vector["url"].partition("=")[0] + "=" + "x" * (LONGEST_VALUE + 1)
        with system(tmp_path, vector, MSGRAPH, SIGNS_NOTHING) as graph:
            assert_refused(ask(graph, vector))
            assert graph.stored == (0, 0)


class TestMeta:
    def test_the_right_token_gets_the_challenge(self, tmp_path: Path) -> None:
        vector = recorded("meta")
        with system(tmp_path, vector, META, SIGNS_NOTHING) as meta:
            answer = ask(meta, vector)

            assert_answered(answer, "text/plain", vector["expect_response"]["body"])
            assert meta.stored == (0, 0)

    def test_a_wrong_token_is_refused_and_nothing_is_echoed(self, tmp_path: Path) -> None:
        vector = recorded("neg_meta")
        with system(tmp_path, vector, META, SIGNS_NOTHING) as meta:
            answer = ask(meta, vector)

            assert answer.status_code == vector["expect_response"]["status"]
            assert_refused(answer)
            assert vector["expect_response"]["body"] not in answer.text
            assert "guess" not in answer.text
            assert meta.stored == (0, 0)

    def test_a_get_without_a_challenge_is_no_handshake(self, tmp_path: Path) -> None:
        vector = recorded("meta")
        with system(tmp_path, vector, META, SIGNS_NOTHING) as meta:
            answer = requests.get(meta.url, timeout=10)

            assert_refused(answer, "The request is not a handshake of this source.")
            assert meta.stored == (0, 0)


def test_asana_gets_its_header_back(tmp_path: Path) -> None:
    vector = recorded("asana")
    with system(tmp_path, vector, ASANA, SIGNS_NOTHING) as asana:
        answer = ask(asana, vector)

        assert_answered(answer, "text/plain", "", **vector["expect_response"]["headers"])
        assert asana.stored == (0, 0)


class TestBraintree:
    def test_its_challenge_is_answered_as_its_own_library_does(self, tmp_path: Path) -> None:
        vector = recorded("challenge")
        with ready(tmp_path, "braintree", secret_of(vector).value) as braintree:
            answer = ask(braintree, vector)

            assert_answered(answer, "text/plain", vector["expect_response"]["body"])
            assert braintree.stored == (0, 0)

    def test_what_is_no_challenge_is_not_signed(self, tmp_path: Path) -> None:
        vector = recorded("challenge")
        with ready(tmp_path, "braintree", secret_of(vector).value) as braintree:
            answer = requests.get(braintree.url, {"bt_challenge": "PG4+MTwvbj4="}, timeout=10)

            assert_refused(answer)
            assert braintree.stored == (0, 0)


class TestQuickBooks:
    def test_an_empty_ping_gets_200(self, tmp_path: Path) -> None:
        with ready(tmp_path, "quickbooks") as quickbooks:
            assert_answered(requests.post(quickbooks.url, timeout=10), "text/plain", "")
            assert quickbooks.stored == (0, 0)

    def test_anything_else_must_be_signed(self, tmp_path: Path) -> None:
        with ready(tmp_path, "quickbooks") as quickbooks:
            assert requests.post(quickbooks.url, data=b"{}", headers=JSON, timeout=10).status_code == 401
            assert quickbooks.stored == (0, 1)


class TestWooCommerce:
    PING = (HANDSHAKES / "payload_ping.form").read_bytes()

    def test_its_unsigned_ping_gets_exactly_200(self, tmp_path: Path) -> None:
        with ready(tmp_path, "woocommerce") as shop:
            assert_answered(
                requests.post(shop.url, data=self.PING, headers=FORM, timeout=10), "text/plain", ""
            )
            assert shop.stored == (0, 0)

    def test_an_unsigned_order_is_no_ping(self, tmp_path: Path) -> None:
        with ready(tmp_path, "woocommerce") as shop:
            order = (EXAMPLES / "woocommerce" / "examples" / "order.updated.json").read_bytes()
            assert requests.post(shop.url, data=order, headers=JSON, timeout=10).status_code == 401
            assert shop.stored == (0, 1)


class TestXero:
    """Xero's intent to receive: several requests without events, some of which are wrongly signed."""

    FOLDER = VECTORS / "xero"

    def send(self, xero: Served, body: bytes) -> requests.Response:
        headers = read_vector(self.FOLDER / "vector_itr_ok.json")["headers"]
        return requests.post(xero.url, data=body, headers=headers, timeout=10)

    def test_what_is_rightly_signed_gets_200_and_nothing_else(self, tmp_path: Path) -> None:
        vector = read_vector(self.FOLDER / "vector_itr_ok.json")
        with ready(tmp_path, "xero", vector["secret"]) as xero:
            answer = self.send(xero, (self.FOLDER / vector["body_file"]).read_bytes())

            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["Content-Length"] == "0"
            assert "Set-Cookie" not in answer.headers
            assert xero.stored_events == 0

    def test_what_is_wrongly_signed_gets_401(self, tmp_path: Path) -> None:
        vector = read_vector(self.FOLDER / "vector_itr_ok.json")
        with ready(tmp_path, "xero", vector["secret"]) as xero:
            answer = self.send(xero, (self.FOLDER / vector["body_file"]).read_bytes() + b" ")

            assert (answer.status_code, answer.json()["code"]) == (401, "not_verified")
            assert xero.stored == (0, 1)


class TestIntercom:
    def test_it_looks_by_head_whether_the_url_is_there(self, tmp_path: Path) -> None:
        with ready(tmp_path, "intercom") as intercom:
            answer = requests.head(intercom.url, timeout=10)

            assert (answer.status_code, answer.content) == (200, b"")
            assert requests.head(f"{intercom.url}-elsewhere", timeout=10).status_code == 404
            assert intercom.stored == (0, 0)

    def test_its_signed_ping_is_an_event_like_any_other(self, tmp_path: Path) -> None:
        with ready(tmp_path, "intercom") as intercom:
            body = (EXAMPLES / "intercom" / "examples" / "ping.json").read_bytes()
            ping = {
                "method": "POST",
                "url": intercom.url,
                "headers": JSON,
                "body": body,
                "now": 1_759_000_000,
            }
            answer = ask(intercom, signed(intercom, ping))

            assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
            assert answer.headers["Content-Type"] == "application/json"
            assert (intercom.stored, intercom.stored_events) == ((1, 0), 1)
            assert ask(intercom, ping).status_code == 401


class TestLargeBodies:
    """A request with a body of more than LARGEST_HANDSHAKE is an event, however it looks."""

    def test_one_that_is_signed_is_stored(self, tmp_path: Path) -> None:
        vector = recorded("slack")
        padding = b" " * (LARGEST_HANDSHAKE - len(vector["body"]))
        with system(tmp_path, vector, SLACK, SLACK_SIGNS) as slack:
            largest = signed(slack, {**vector, "body": vector["body"] + padding})
            larger = signed(slack, {**vector, "body": vector["body"] + padding + b" "})

            assert_answered(ask(slack, largest), "text/plain", vector["expect_response"]["body"])
            assert slack.stored == (0, 0)
            assert ask(slack, larger).json()["status"] == "accepted"
            assert slack.stored == (1, 0)

    @pytest.mark.parametrize("handshake", [MSGRAPH, ASANA], ids=["in the URL", "in a header"])
    def test_one_that_nobody_signed_is_not_echoed(self, handshake: dict[str, Any], tmp_path: Path) -> None:
        vector = recorded("msgraph")
        vector |= {"headers": recorded("asana")["headers"], "body": b"x" * (LARGEST_HANDSHAKE + 1)}
        with system(tmp_path, vector, handshake, SIGNS_NOTHING) as application:
            answer = ask(application, vector)

            assert (answer.status_code, answer.json()["code"]) == (401, "not_verified")
            assert "X-Hook-Secret" not in answer.headers
            assert "Validation" not in answer.text
            assert application.stored == (0, 1)


def test_a_source_without_a_handshake_takes_post_only(tmp_path: Path) -> None:
    with ready(tmp_path, "intercom") as intercom:
        answer = requests.get(intercom.url, {"hub.challenge": "1158201444"}, timeout=10)

        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert "1158201444" not in answer.text
        assert intercom.stored == (0, 0)
