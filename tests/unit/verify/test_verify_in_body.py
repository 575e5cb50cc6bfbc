"""Schemes whose credentials stand in the body: the contract, and what is each one's own."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.core.values import RawRequest, Secret
from integration.verify import build, redact
from integration.verify.braintree import challenge_answer
from tests.contracts.scheme import MALFORMED, NAME, NOW, Options, SchemeContract, law, post

_TEXT = st.text(max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


class BodySchemeContract(SchemeContract):
    """The contract where the signed body is a form of `body` that holds the credentials.

    `missing` is the reason for a body without them.
    """

    header = None
    timed = False
    body: ClassVar[bytes]
    missing: ClassVar[str] = "missing_signature"

    def signed(self, secret: str | None = None, at: int = NOW, body: bytes | None = None) -> RawRequest:
        return super().signed(secret, at, self.body if body is None else body)

    @abstractmethod
    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        """The request with this text in the place of its credentials."""

    @abstractmethod
    def bodies(self, anything: Any) -> list[bytes]:
        """Bodies of the right shape that hold `anything` in the place of each part."""

    def test_the_body_is_taken_as_raw_bytes(self) -> None:
        for body in (b"", b"\x00\xff\xfe{", b"[1]", b"<a/>", b"[" * 100_000, b"1" * 10_000):
            assert not self.verify(replace(self.signed(), body=body)).accepted
            with pytest.raises(ValueError, match="SENDER"):
                self.scheme.sign(post(body=body), Secret("SENDER", self.secret), NOW)

    @abstractmethod
    def test_a_tampered_body(self) -> None:
        """What a signature covers differs: the whole body, a field of it, or some fields of each item."""

    def test_a_request_without_credentials(self) -> None:
        assert self.verify(post(body=self.body)).reason == self.missing

    @law
    @given(anything=_JSON)
    def test_no_value_in_any_place_raises_or_verifies(self, anything: Any) -> None:
        for body in self.bodies(anything):
            assert not self.verify(post(body=body)).accepted

    @law
    @given(body=st.binary(max_size=200))
    def test_no_bytes_raise_or_verify(self, body: bytes) -> None:
        assert not self.verify(post(body=body)).accepted


class TestAdyen(BodySchemeContract):
    options: ClassVar[Options] = {"scheme": "adyen"}
    secret = "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174"
    other_secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    item: ClassVar[dict[str, Any]] = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "Acme:EU",
        "merchantReference": "Zoë-1",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    }
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item}] * 2}).encode()

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        payload = json.loads(self.signed().body)
        for entry in payload["notificationItems"]:
            entry["NotificationRequestItem"]["additionalData"]["hmacSignature"] = text
        return replace(request, body=json.dumps(payload).encode())

    def bodies(self, anything: Any) -> list[bytes]:
        item = json.loads(self.signed().body)["notificationItems"][0]["NotificationRequestItem"]
        items: list[Any] = [{**item, name: {"x": anything}} for name in item]
        return [
            json.dumps({"notificationItems": entries}).encode()
            for entries in (anything, [anything], *([{"NotificationRequestItem": item}] for item in items))
        ]

    def test_a_tampered_body(self) -> None:
        for name, value in {"eventCode": "REFUND", "success": "false", "amount": {"value": 1}}.items():
            payload = json.loads(self.signed().body)
            payload["notificationItems"][0]["NotificationRequestItem"][name] = value
            request = replace(self.signed(), body=json.dumps(payload).encode())
            assert self.verify(request).reason == "signature_mismatch"

    @pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_credentials(self, text: str) -> None:
        verdict = self.verify(self.with_credentials(self.signed(), text))

        assert verdict.reason in {"malformed_signature", "signature_mismatch"}

    def test_every_item_is_judged_not_only_the_first(self) -> None:
        payload = json.loads(self.signed().body)
        payload["notificationItems"][1]["NotificationRequestItem"]["pspReference"] = "other"
        forged = replace(self.signed(), body=json.dumps(payload).encode())
        del payload["notificationItems"][1]["NotificationRequestItem"]["additionalData"]
        unsigned = replace(self.signed(), body=json.dumps(payload).encode())

        assert self.verify(forged).reason == "signature_mismatch"
        assert self.verify(unsigned).reason == "missing_signature"

    def test_a_key_that_is_not_hex_is_named(self) -> None:
        assert self.verify(self.signed(), Secret(NAME, "xyz")).detail == (
            f"{NAME} is not hex: copy the HMAC key again."
        )


class TestBraintree(BodySchemeContract):
    options: ClassVar[Options] = {"scheme": "braintree"}
    secret = "integration_public_key:integration_private_key"
    other_secret = "integration_public_key:another"
    body = b"bt_payload=PG4%2BMTwvbj4%3D%0A"

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        body = b"bt_signature=" + text.encode("utf-8", "surrogatepass") + b"&" + self.body
        return replace(request, body=body)

    def bodies(self, anything: Any) -> list[bytes]:
        text = json.dumps(anything).encode()
        return [b"bt_signature=" + text + b"&" + self.body, b"bt_signature=a|b&bt_payload=" + text, text]

    def test_a_tampered_body(self) -> None:
        tampered = self.signed().body.replace(b"PG4", b"PG5")

        assert self.verify(replace(self.signed(), body=tampered)).reason == "signature_mismatch"

    @pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_credentials(self, text: str) -> None:
        verdict = self.verify(self.with_credentials(self.signed(), text))

        assert verdict.reason in {"malformed_signature", "signature_mismatch", "malformed_body"}

    def test_only_the_pair_of_our_public_key_counts(self) -> None:
        request = self.signed()
        renamed = replace(request, body=request.body.replace(b"integration_public_key", b"other"))

        assert self.verify(renamed).reason == "signature_mismatch"

    def test_the_answer_to_a_challenge(self) -> None:
        answer = challenge_answer("20f9f8ed05f77439fe955c977e4c8a53", self.live)

        assert answer == "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
        assert challenge_answer("PG4+MTwvbj4=", self.live) is None

    def test_a_secret_of_one_part_is_named(self) -> None:
        assert self.verify(self.signed(), Secret(NAME, "one-part")).detail == (
            f"{NAME} is not public_key:private_key: copy both API keys again."
        )


class TestTokenInTheBody(BodySchemeContract):
    options: ClassVar[Options] = {"scheme": "token", "body": "token"}
    secret = "TOKEN_FOR_VERIFICATION"
    other_secret = "another"
    covers_body = False
    plain = True
    body = b'{"module": "Deals", "ids": ["1"]}'
    missing = "missing_token"

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        return replace(request, body=json.dumps({"module": "Deals", "token": text}).encode())

    def bodies(self, anything: Any) -> list[bytes]:
        return [json.dumps(anything).encode(), json.dumps({"token": anything}).encode()]

    def test_a_tampered_body(self) -> None:
        assert self.verify(replace(self.signed(), body=self.signed().body + b" ")).accepted

    @pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_credentials(self, text: str) -> None:
        verdict = self.verify(self.with_credentials(self.signed(), text))

        assert verdict.reason in {"malformed_token", "credentials_mismatch"}

    def test_the_stored_body_holds_the_digest(self) -> None:
        stored = json.loads(redact(self.scheme, self.signed()).body)

        assert stored["token"].startswith("sha256:")
        assert stored["module"] == "Deals"

    def test_one_place_only(self) -> None:
        with pytest.raises(ValueError, match="body: the token is in a header, in the query or in the body"):
            build({**self.options, "header": "x-token"})


class TestSalesforce(BodySchemeContract):
    options: ClassVar[Options] = {"scheme": "salesforce"}
    secret = "00D5Y000001MPM7UAO:k_93ab"
    other_secret = "00D5Y000001MPM7UAO:other"
    covers_body = False
    plain = True
    missing = "missing_header"
    body = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        b'<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        b"<OrganizationId>00D5Y000001MPM7UAO</OrganizationId></notifications></e:Body></e:Envelope>"
    )

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        body = self.body.replace(b"00D5Y000001MPM7UAO", text.encode("utf-8", "surrogatepass"))
        return replace(request, body=body)

    def bodies(self, anything: Any) -> list[bytes]:
        return [self.body.replace(b"00D5Y000001MPM7UAO", json.dumps(anything).encode())]

    def test_the_body_is_taken_as_raw_bytes(self) -> None:
        for body in (b"", b"\x00\xff\xfe{", b"{}", b"<a/>", b"<a>" * 10_000, b"<!DOCTYPE a><a/>"):
            verdict = self.verify(replace(self.signed(), body=body))
            assert verdict.reason == "malformed_body"

    def test_a_tampered_body(self) -> None:
        twice = self.body.replace(b"</notifications>", b"<OrganizationId>x</OrganizationId></notifications>")

        assert self.verify(self.signed(body=twice)).reason == "malformed_body"

    @pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_credentials(self, text: str) -> None:
        verdict = self.verify(self.with_credentials(self.signed(), text))

        assert verdict.reason in {"malformed_body", "organization_mismatch"}

    def test_another_organization_is_refused_and_the_short_form_is_the_same(self) -> None:
        other = self.body.replace(b"00D5Y000001MPM7UAO", b"00D000000000000AAA")
        short = self.body.replace(b"00D5Y000001MPM7UAO", b"00D5Y000001MPM7")

        assert self.verify(self.signed(body=other)).reason == "organization_mismatch"
        assert self.verify(self.signed(body=short)).accepted
