"""Access tokens of sources' APIs: what is asked, and what each answer means."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from integration.http.client import Client
from integration.http.oauth import Credentials, Grant, OAuth, TokenUnavailableError, refresh
from tests.standin import StandIn, standing_in

HERE = Client()
CREDENTIALS = Credentials("client&1", "client:secret %", "refresh token+1")
SECRETS = ("client:secret %", "refresh token+1", "new-access", "new-refresh")


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as api:
        answers(api, {"access_token": "new-access", "expires_in": 1800, "refresh_token": "new-refresh"})
        yield api


def answers(api: StandIn, content: object, status: int = 200) -> None:
    api.status, api.body = status, json.dumps(content).encode()


def spec_of(api: StandIn) -> OAuth:
    return OAuth(f"{api.url}/token", "SHOP_CLIENT_ID", "SHOP_CLIENT_SECRET", "SHOP_REFRESH_TOKEN")


def cause_of(api: StandIn, client: Client = HERE) -> tuple[str, str, str]:
    with pytest.raises(TokenUnavailableError) as caught:
        refresh(client, spec_of(api), CREDENTIALS)
    cause = caught.value.cause
    for secret in SECRETS:
        assert secret not in f"{cause} {caught.value} {caught.value.__cause__}"
    return cause.code, cause.detail, cause.cure


def test_the_client_is_in_the_header_and_the_refresh_token_in_the_form(api: StandIn) -> None:
    grant = refresh(HERE, spec_of(api), CREDENTIALS)

    assert grant == Grant("new-access", 1800, "new-refresh")
    path, headers = api.asked[0]
    assert path == "/token"
    login = b64decode(headers["authorization"].removeprefix("Basic "))
    assert login == b"client%261:client%3Asecret+%25"  # RFC 6749, 2.3.1: each part form-encoded
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    form = parse_qs(api.posted[0].decode())
    assert form == {"grant_type": ["refresh_token"], "refresh_token": ["refresh token+1"]}


def test_the_client_is_in_the_form_where_the_mapping_says_so(api: StandIn) -> None:
    refresh(HERE, replace(spec_of(api), client_auth="body"), CREDENTIALS)

    assert "authorization" not in api.asked[0][1]
    form = parse_qs(api.posted[0].decode())
    assert (form["client_id"], form["client_secret"]) == (["client&1"], ["client:secret %"])


def test_a_vendor_that_gives_no_refresh_token_back_lets_the_old_one_live(api: StandIn) -> None:
    answers(api, {"access_token": "new-access"})

    assert refresh(HERE, spec_of(api), CREDENTIALS).refresh_token == "refresh token+1"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (1800, 1800),
        ("3600", 3600),
        (10**30, 86400),
        (None, 1800),
        (0, 1800),
        (-5, 1800),
        (True, 1800),
        ("soon", 1800),
    ],
)
def test_how_long_a_token_lives_is_bounded_and_assumed_where_it_is_not_told(
    api: StandIn, told: object, seconds: int
) -> None:
    answers(api, {"access_token": "new-access", "expires_in": told})

    assert refresh(HERE, spec_of(api), CREDENTIALS).expires_in == seconds


def test_without_a_refresh_token_the_client_asks_in_its_own_name(api: StandIn) -> None:
    spec = replace(spec_of(api), refresh_token="", grant="client_credentials", scope="read:a read:b")
    credentials = Credentials("client", "client-secret", "", spec.scope)

    assert refresh(HERE, spec, credentials) == Grant("new-access", 1800, ""), "and keeps no refresh token"
    form = parse_qs(api.posted[0].decode())
    assert form == {"grant_type": ["client_credentials"], "scope": ["read:a read:b"]}
    refresh(HERE, spec, replace(credentials, scope=""))
    assert api.posted[1] == b"grant_type=client_credentials"


@pytest.mark.parametrize(("word", "status"), [("invalid_grant", 400), ("invalid_code", 200)])
def test_a_grant_that_is_no_good_names_the_setting(api: StandIn, word: str, status: int) -> None:
    answers(api, {"error": word, "error_description": "refresh token+1 was revoked"}, status)

    assert cause_of(api) == (
        "grant_revoked",
        "127.0.0.1 says that the grant in SHOP_REFRESH_TOKEN is not good any more",
        "connect the app again and set SHOP_REFRESH_TOKEN to the new refresh token",
    )


@pytest.mark.parametrize("word", ["invalid_client", "unauthorized_client"])
def test_a_client_that_is_not_known_names_the_settings(api: StandIn, word: str) -> None:
    answers(api, {"error": word}, 401)

    assert cause_of(api) == (
        "token_unavailable",
        "127.0.0.1 does not know the client in SHOP_CLIENT_ID and SHOP_CLIENT_SECRET",
        "set SHOP_CLIENT_ID and SHOP_CLIENT_SECRET to those of the app",
    )


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {}),
        (200, ["new-access"]),
        (200, {"access_token": ""}),
        (200, {"access_token": "two\nlines"}),
        (200, {"access_token": 7}),
        (302, {"access_token": "new-access"}),
        (500, {"access_token": "new-access"}),
    ],
)
def test_an_answer_without_a_token_is_tried_again(api: StandIn, status: int, content: object) -> None:
    answers(api, content, status)

    code, detail, _ = cause_of(api)
    assert code == "token_unavailable"
    assert detail == (
        f"no access token could be fetched from 127.0.0.1: it answered {status}, and no access token"
    )


def test_what_is_no_json_is_no_token(api: StandIn) -> None:
    api.body = b"<html>" + b"[" * 500

    assert cause_of(api)[0] == "token_unavailable"


def test_the_request_is_bounded_and_goes_to_public_addresses_only(api: StandIn) -> None:
    _, detail, cure = cause_of(api, Client(public_only=True))
    assert "only https:// addresses are called" in detail
    assert cure == "correct `token_url` in the mapping; for a stand-in in a test, set FETCH_ALLOW_PRIVATE"
    assert api.asked == []
    api.body = b" " * 70_000
    assert "larger than 65,536 bytes" in cause_of(api)[1]
