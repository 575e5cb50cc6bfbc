"""Basic and token: the contract in every place a credential can stand, and what is their own."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace
from typing import ClassVar

import pytest

from integration.core.values import RawRequest, Secret
from integration.verify import build, redact
from tests.contracts.scheme import NAME, NOW, Options, SchemeContract, post

TOKEN = "tok_6f2c9d+/="


def digest(credential: str) -> str:
    return f"sha256:{hashlib.sha256(credential.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scheme": "basic"}, 'Basic realm="leadwire", charset="UTF-8"'),
        ({"scheme": "token"}, 'Bearer realm="leadwire"'),
        ({"scheme": "token", "prefix": "GenieKey "}, 'GenieKey realm="leadwire"'),
        ({"scheme": "token", "prefix": ""}, 'Token realm="leadwire"'),
        ({"scheme": "token", "prefix": 'two words, or "quotes" '}, 'Token realm="leadwire"'),
        ({"scheme": "token", "header": "X-Token", "prefix": "Bearer "}, 'Token realm="leadwire"'),
        ({"scheme": "token", "query": "key"}, 'Token realm="leadwire"'),
        ({"scheme": "token", "body": "token"}, 'Token realm="leadwire"'),
        ({"scheme": "salesforce"}, 'Token realm="leadwire"'),
        ({"scheme": "stripe"}, 'Signature realm="leadwire"'),
        ({"scheme": "adyen"}, 'Signature realm="leadwire"'),
    ],
)
def test_what_a_refused_sender_is_asked_for(options: Options, expected: str) -> None:
    assert build(options).challenge == expected


def basic(credential: bytes) -> str:
    return f"Basic {b64encode(credential).decode()}"


class TestBasic(SchemeContract):
    options: ClassVar[Options] = {"scheme": "basic"}
    secret = "cb_hook:s3cr:et pässword"
    other_secret = "cb_hook:s3cr"
    header = "authorization"
    covers_body = False
    timed = False
    plain = True

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
    def test_both_encodings_of_non_ascii_are_accepted(self, encoding: str) -> None:
        assert self.verify(self.with_credentials(post(), basic(self.secret.encode(encoding)))).accepted

    def test_what_is_stored_is_the_digest(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert stored.headers["authorization"] == f"Basic {digest(self.secret)}"

    @pytest.mark.parametrize("prefix", ["basic ", "BASIC   ", " Basic "])
    def test_the_scheme_is_read_in_any_case(self, prefix: str) -> None:
        header = prefix + b64encode(self.secret.encode()).decode().rstrip("=")

        assert self.verify(self.with_credentials(post(), header)).accepted

    def test_the_user_is_part_of_the_credential(self) -> None:
        assert not self.verify(self.with_credentials(post(), basic(b"other:s3cr:et"))).accepted

    @pytest.mark.parametrize("blank", [":", " : "])
    def test_a_colon_alone_is_a_blank_secret(self, blank: str) -> None:
        request = self.with_credentials(post(), basic(blank.encode()))
        verdict = self.scheme.verify(request, [Secret(NAME, blank)], NOW)

        assert verdict.reason == "no_secret"
        assert verdict.detail == f"{NAME} is blank: set it to user:password as given to the sender."

    def test_an_empty_password_is_allowed_where_the_user_is_the_key(self) -> None:
        request = self.with_credentials(post(), basic(b"key_123:"))

        assert self.scheme.verify(request, [Secret(NAME, "key_123:")], NOW).accepted

    def test_a_secret_without_colon_is_explained(self) -> None:
        verdict = self.scheme.verify(self.signed(), [Secret(NAME, "password")], NOW)

        assert verdict.reason == "no_secret"
        assert verdict.detail == f"{NAME} holds no colon: write it as user:password."

    @pytest.mark.parametrize(
        "header", [f"Bearer {TOKEN}", "Basic", "Basic user:password", basic(b"no colon")]
    )
    def test_what_is_not_basic_is_hidden_whole(self, header: str) -> None:
        request = self.with_credentials(post(), header)
        verdict = self.verify(request)

        assert verdict.reason == "malformed_header"
        assert verdict.detail == ("The Authorization header is not `Basic` and the base64 of user:password.")
        assert redact(self.scheme, request).headers["authorization"] == "redacted"

    def test_details_say_what_to_check(self) -> None:
        assert self.verify(self.signed(self.other_secret)).detail == (
            f"The user and password match none of {NAME}: compare with the sender's settings."
        )
        assert self.verify(post()).detail == (
            "The request has no Authorization header: set user name and password at the sender, and check"
            " that a proxy in front of us does not remove the header."
        )


class TestBearerToken(SchemeContract):
    options: ClassVar[Options] = {"scheme": "token"}
    secret = TOKEN
    other_secret = "tok_6f2c9d"
    header = "authorization"
    covers_body = False
    timed = False
    plain = True

    def test_the_prefix_is_read_in_any_case(self) -> None:
        assert self.verify(self.with_credentials(post(), f"bearer  {TOKEN}")).accepted
        assert self.verify(self.with_credentials(post(), TOKEN)).reason == "malformed_header"

    def test_what_is_stored_is_the_digest(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert stored.headers["authorization"] == f"Bearer {digest(TOKEN)}"

    def test_a_longer_token_is_another_token(self) -> None:
        assert not self.verify(self.signed(TOKEN + "x")).accepted

    def test_details_say_what_to_check(self) -> None:
        assert self.verify(self.signed(self.other_secret)).detail == (
            f"The token matches none of {NAME}: compare with the sender's settings."
        )
        assert self.verify(self.with_credentials(post(), "Bearer ")).detail == (
            "The Authorization header is not `Bearer ` and the token."
        )


class TestHeaderToken(TestBearerToken):
    options: ClassVar[Options] = {"scheme": "token", "header": "X-Gitlab-Token"}
    header = "x-gitlab-token"

    def test_the_prefix_is_read_in_any_case(self) -> None:
        assert self.verify(self.with_credentials(post(), TOKEN)).accepted
        assert not self.verify(self.with_credentials(post(), f"Bearer {TOKEN}")).accepted

    def test_what_is_stored_is_the_digest(self) -> None:
        assert redact(self.scheme, self.signed()).headers["x-gitlab-token"] == digest(TOKEN)

    def test_details_say_what_to_check(self) -> None:
        assert self.verify(self.with_credentials(post(), "")).detail == (
            "The X-Gitlab-Token header is not the token."
        )
        assert "has no X-Gitlab-Token header" in self.verify(post()).detail

    def test_non_ascii_tokens_are_compared_as_bytes(self) -> None:
        secret = Secret(NAME, "tök€n")
        signed = self.scheme.sign(post(), secret, NOW)

        assert self.verify(signed, secret).accepted
        assert signed.headers["x-gitlab-token"].encode("latin-1") == "tök€n".encode()


class TestQueryToken(SchemeContract):
    options: ClassVar[Options] = {"scheme": "token", "query": "key"}
    secret = TOKEN
    other_secret = "tok_6f2c9d"
    header = None
    covers_body = False
    timed = False
    plain = True

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        query = f"a=1&key={text}"
        return replace(request, url=f"https://hooks.example.com/hooks/acme?{query}", query=query)

    def test_what_is_stored_is_the_digest_in_url_and_query(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert stored.query == f"key={digest(TOKEN)}"
        assert stored.url == f"https://hooks.example.com/hooks/acme?key={digest(TOKEN)}"

    def test_signing_replaces_the_parameter_and_keeps_the_others(self) -> None:
        signed = self.scheme.sign(post(query="a=%20&key=old&b"), self.live, NOW)

        assert signed.query == "a=%20&b&key=tok_6f2c9d%2B%2F%3D"
        assert signed.url.endswith(f"?{signed.query}")

    @pytest.mark.parametrize("written", ["tok_6f2c9d%2B%2f%3D", TOKEN])
    def test_the_token_may_stand_encoded_or_as_it_is(self, written: str) -> None:
        assert self.verify(self.with_credentials(post(), written)).accepted

    @pytest.mark.parametrize("query", ["key", "key=", "key=&key=" + TOKEN])
    def test_an_empty_parameter(self, query: str) -> None:
        verdict = self.verify(post(query=query))

        assert verdict.reason == "malformed_header"
        assert verdict.detail == "The parameter key of the URL is empty."

    def test_the_missing_parameter_is_named(self) -> None:
        assert self.verify(post(query="a=1")).detail == (
            "The URL has no parameter key: give the sender the URL with ?key=<token> at its end."
        )

    def test_a_parameter_written_with_percent_codes_is_found_and_hidden(self) -> None:
        request = post(query=f"%6Bey={TOKEN}")

        assert self.verify(request).accepted


def test_a_token_stands_in_one_place() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        build({"scheme": "token", "query": "key", "header": "X-Token"})

    assert str(caught.value) == (
        "query: the token is in a header, in the query or in the body, and `header` says another place"
        " (keep one)"
    )
