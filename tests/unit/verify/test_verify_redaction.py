"""What of a request may be stored."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from integration.core.values import Secret
from integration.verify import build, redact
from integration.verify.redaction import HEADERS_LIMIT
from tests.contracts.scheme import NAME, NOW, post

STRIPE = build({"scheme": "stripe"})
SIGNED_URL = build({"scheme": "hmac", "header": "X-Signature", "template": "{url}{body}"})


def stored_headers(headers: dict[str, str], scheme: Any = STRIPE) -> dict[str, str]:
    return dict(redact(scheme, post(headers)).headers)


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "connection",
        "accept",
        "accept-encoding",
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "via",
        "cookie",
        "proxy-connection",
        "transfer-encoding",
        "te",
        "content-length",
    ],
)
def test_noise_is_dropped(name: str) -> None:
    assert name not in stored_headers({name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "x-gitlab-token",
        "x-client-secret",
        "x-password",
        "x-api-key",
        "x_apikey",
        "set-cookie",
        "x-amz-security-token",
    ],
)
def test_credentials_that_the_scheme_does_not_use_are_dropped(name: str) -> None:
    assert name not in stored_headers({name: "hunter2"})


@pytest.mark.parametrize(
    "name", ["content-type", "content-encoding", "user-agent", "x-shopify-topic", "x-event-key", "webhook-id"]
)
def test_what_tells_about_the_event_is_kept(name: str) -> None:
    assert stored_headers({name: "application/json"})[name] == "application/json"


def test_signatures_are_kept_as_they_are() -> None:
    signed = STRIPE.sign(post(), Secret(NAME, "whsec_x"), NOW)

    assert redact(STRIPE, signed).headers["stripe-signature"] == signed.headers["stripe-signature"]


def test_everything_else_of_the_request_stays() -> None:
    request = post(query="a=%20b&c")
    stored = redact(STRIPE, request)

    assert (stored.source, stored.method, stored.body) == ("acme", "POST", request.body)
    assert (stored.url, stored.query, stored.received_at) == (request.url, request.query, NOW)


def test_parameters_that_look_like_credentials_become_digests() -> None:
    stored = redact(STRIPE, post(query="a=1&access_token=hunter%32&token"))

    digest = f"sha256:{hashlib.sha256(b'hunter2').hexdigest()}"
    assert stored.query == f"a=1&access_token={digest}&token"
    assert stored.url.endswith(f"?{stored.query}")


def test_a_signed_url_is_kept_for_verifying_it_again() -> None:
    request = post(query="access_token=hunter2")

    assert redact(SIGNED_URL, request).url == request.url


def test_headers_are_bounded_and_the_largest_go_first() -> None:
    headers = {f"x-{size}": "v" * size for size in (5000, 4000, 3000, 20)}
    stored = stored_headers({"stripe-signature": "t=1", **headers})

    assert sum(len(name) + len(value) for name, value in stored.items()) <= HEADERS_LIMIT
    assert set(stored) == {"content-type", "user-agent", "stripe-signature", "x-20", "x-3000", "x-4000"}


def test_what_the_scheme_and_the_body_need_stays_before_anything_else() -> None:
    signature = "t=1,v1=" + "a" * 2000
    many = {f"x-{number}": "v" * 100 for number in range(100)}
    stored = stored_headers({**many, "stripe-signature": signature, "content-encoding": "gzip"})

    assert stored["stripe-signature"] == signature
    assert stored["content-encoding"] == "gzip"
    assert stored["content-type"] == "application/json"


def test_a_huge_header_of_the_scheme_is_cut_and_stays_too_long() -> None:
    request = post({"stripe-signature": "t=1," * 300_000})
    stored = redact(STRIPE, request)

    assert len(stored.headers["stripe-signature"]) == 2049
    assert STRIPE.verify(stored, [Secret(NAME, "x")], NOW) == STRIPE.verify(request, [Secret(NAME, "x")], NOW)


def test_what_no_database_stores_is_replaced() -> None:
    stored = redact(STRIPE, post({"x-event": "a\x00b\ud800c"}, query="a=\x00"))

    assert stored.headers["x-event"] == "a\ufffdb\ufffdc"
    assert stored.query == "a=\ufffd"
    assert stored.url.endswith("?a=\ufffd")
