"""Handshakes: the answers that systems want, and that nothing else gets one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.body import decode
from integration.core.values import (
    MAIN_ACCOUNT,
    ByBody,
    ByEmptyBody,
    ByHeader,
    ByQuery,
    Handshake,
    RawRequest,
    Secret,
    UrlToken,
)
from integration.verify.handshake import Reply, answer
from tests.contracts.scheme import NOW

FOLDER = Path(__file__).parents[2] / "data" / "handshakes"
META = Handshake(
    ByQuery("hub.challenge"), "GET", token=UrlToken("hub.verify_token", "TOKEN"), reply="{value}"
)
HANDSHAKES = {
    "meta": META,
    "neg_meta": META,
    "msgraph": Handshake(ByQuery("validationToken"), reply="{value}"),
    "challenge": Handshake(ByQuery("bt_challenge"), "GET", reply="{braintree}"),
    "slack": Handshake(ByBody("challenge"), when={"type": "url_verification"}, reply="{value}"),
    "asana": Handshake(ByHeader("X-Hook-Secret"), reply_header="X-Hook-Secret"),
    "zoom": Handshake(
        ByBody("payload.plainToken"),
        when={"event": "endpoint.url_validation"},
        reply='{"plainToken": "{value}", "encryptedToken": "{hmac}"}',
        content_type="application/json",
    ),
}


def request_of(vector: dict[str, Any]) -> RawRequest:
    headers = {name.lower(): text for name, text in vector["headers"].items()}
    body = (FOLDER / vector["body_file"]).read_bytes()
    query = vector["url"].partition("?")[2]
    return RawRequest(MAIN_ACCOUNT, "acme", vector["method"], vector["url"], query, headers, body, NOW)


def reply_to(handshake: Handshake, request: RawRequest, secret: Any = "s") -> Reply | None:
    value = ":".join(secret.values()) if isinstance(secret, dict) else secret or "s"
    payload = decode(request.headers, request.body, 10_000) if request.body.strip() else None
    return answer([handshake], request, payload, [Secret("SECRET", value)], [Secret("TOKEN", value)])


@pytest.mark.parametrize("name", HANDSHAKES)
def test_vectors(name: str) -> None:
    vector = json.loads((FOLDER / f"vector_{name}.json").read_text("utf-8"))
    reply = reply_to(HANDSHAKES[name], request_of(vector), vector["secret"])
    expected = vector["expect_response"]

    assert reply is not None
    assert reply.refused is not vector["valid"]
    if vector["valid"]:
        assert reply.text == expected.get("body", reply.text)
        assert json.loads(reply.text or "null") == expected["json"] if "json" in expected else True
        assert dict(reply.headers) == expected.get("headers", {})


def test_what_is_no_handshake_gets_no_answer() -> None:
    vector = json.loads((FOLDER / "vector_slack.json").read_text("utf-8"))
    request = request_of(vector)

    assert reply_to(HANDSHAKES["slack"], replace(request, method="GET")) is None
    assert reply_to(HANDSHAKES["slack"], replace(request, body=b'{"challenge": "x"}')) is None
    assert reply_to(HANDSHAKES["msgraph"], request) is None


def test_pings_without_content() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    ping = RawRequest(
        MAIN_ACCOUNT, "a", "POST", "u", "", form, (FOLDER / "payload_ping.form").read_bytes(), NOW
    )

    assert reply_to(Handshake(ByBody("webhook_id")), ping) == Reply()
    assert reply_to(Handshake(ByEmptyBody()), ping) is None
    assert reply_to(Handshake(ByEmptyBody()), replace(ping, body=b"")) == Reply()


def test_braintree_signs_nothing_but_challenges() -> None:
    request = RawRequest(MAIN_ACCOUNT, "a", "GET", "u", "bt_challenge=PG4%2BMTwvbj4=", {}, b"", NOW)

    assert reply_to(HANDSHAKES["challenge"], request, "public:private") == Reply(refused=True)


def test_a_header_is_never_split_and_a_value_is_no_placeholder() -> None:
    split = RawRequest(MAIN_ACCOUNT, "a", "POST", "u", "", {"x-hook-secret": "a\r\nSet-Cookie: b"}, b"", NOW)
    tricky = RawRequest(MAIN_ACCOUNT, "a", "POST", "u", "validationToken=%7Bhmac%7D%22", {}, b"", NOW)

    assert reply_to(HANDSHAKES["asana"], split) == Reply(refused=True)
    reply = reply_to(
        replace(HANDSHAKES["msgraph"], content_type="application/json", reply='"{value}"'), tricky
    )
    assert reply is not None
    assert json.loads(reply.text) == '{hmac}"'


@settings(deadline=None)
@given(query=st.text(max_size=60), header=st.text(max_size=60), body=st.binary(max_size=60))
def test_nothing_raises(query: str, header: str, body: bytes) -> None:
    for handshake in HANDSHAKES.values():
        known_by = handshake.known_by
        name = known_by.name if isinstance(known_by, ByQuery) else "x"
        for value in (query, f"{name}={query}"):
            request = RawRequest(
                MAIN_ACCOUNT, "a", handshake.method, "u", value, {"x-hook-secret": header}, body, NOW
            )
            payloads: list[Any] = [None, query, {"challenge": header, "payload": query}]
            for payload in payloads:
                answer([handshake], request, payload, [Secret("SECRET", "a:b")], [])
