"""PayPal: the contract, and which certificates are looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from integration.core.values import MICROS_PER_SECOND, RawRequest, Secret
from integration.verify import build
from integration.verify.scheme import NotVerifiedError
from tests import paypal
from tests.contracts.scheme import BODY, NAME, NOW, Options, SchemeContract, law, post

REFUSED_URLS = [
    "http://api.paypal.com:8080/v1/notifications/certs/CERT-1",
    "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
    "https://evil.example/api.paypal.com/v1/notifications/certs/CERT-1",
    "https://paypal.com.evil.example/v1/notifications/certs/CERT-1",
    "https://evilpaypal.com/v1/notifications/certs/CERT-1",
    "https://paypal.com@evil.example/v1/notifications/certs/CERT-1",
    "https://evil.example#.paypal.com/v1/notifications/certs/CERT-1",
    "https://evil.example\\.paypal.com/v1/notifications/certs/CERT-1",
    "https://user:password@api.paypal.com/v1/notifications/certs/CERT-1",
    "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
    "https://api.paypal.com/v1/notifications/certs/../../../upload/CERT-1",
    "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
    "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
    "https://api.paypal.com/v1/notifications/certs/CERT-1\n",
    "https://api.pay\tpal.com/v1/notifications/certs/CERT-1",
    "https://api.paypal.com/v1/notifications/certs/",
    "https://api.paypal.com/images/CERT-1",
    "https://[api.paypal.com/v1/notifications/certs/CERT-1",
    "//api.paypal.com/v1/notifications/certs/CERT-1",
    "file:///v1/notifications/certs/CERT-1",
    "CERT-1",
    "",
]


class TestPayPal(SchemeContract):
    options: ClassVar[Options] = {"scheme": "paypal"}
    secret = "4JH86294D6297924G"
    other_secret = "1JE4291016473214C"
    header = "paypal-transmission-sig"
    timed = False

    def signed(self, secret: str | None = None, at: int = NOW, body: bytes = BODY) -> RawRequest:  # noqa: ARG002 - PayPal alone signs
        return paypal.signed(post(body=body), secret or self.secret)

    def address(self, url: str, options: Options | None = None) -> str:
        scheme = build(options or self.options)
        assert scheme.certificate_url is not None
        return scheme.certificate_url(paypal.signed(post(), self.secret, url))

    def test_nobody_else_can_sign(self) -> None:
        with pytest.raises(ValueError, match=f"signed with {NAME}: the key that signs is PayPal's alone"):
            self.scheme.sign(post(), self.live, NOW)

    def test_another_body_id_time_or_webhook_is_another_signature(self) -> None:
        for name in ("paypal-transmission-id", "paypal-transmission-time"):
            request = self.signed()
            forged = replace(request, headers={**request.headers, name: "x" + request.headers[name]})
            assert self.verify(forged).reason == "signature_mismatch"

    @pytest.mark.parametrize(
        "url",
        [
            "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-8079afec",
            "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77",
            "https://API.PayPal.com:443/v1/notifications/certs/CERT-1",
        ],
    )
    def test_certificates_of_paypal(self, url: str) -> None:
        assert self.address(url) == url

    @pytest.mark.parametrize("url", REFUSED_URLS)
    def test_certificates_of_others_are_not_even_asked_for(self, url: str) -> None:
        with pytest.raises(NotVerifiedError, match=r"names no certificate of \*\.paypal\.com") as caught:
            self.address(url)
        assert caught.value.verdict.reason == "certificate_refused"

    @law
    @given(url=st.text(max_size=80) | st.from_regex(r"https://[ -~]{0,20}paypal[ -~]{0,60}", fullmatch=True))
    def test_no_text_leads_anywhere_else(self, url: str) -> None:
        try:
            address = self.address(url)
        except NotVerifiedError:
            return
        host, _, path = address.removeprefix("https://").partition("/")
        assert host.lower().removesuffix(":443").endswith(".paypal.com")
        assert path.startswith("v1/notifications/certs/")

    def test_other_hosts_where_the_mapping_says_so(self) -> None:
        options = {**self.options, "certificate_hosts": ["127.0.0.1:8443", ".paypal.cn"]}

        for url in ("https://127.0.0.1:8443", "https://api.paypal.cn"):
            assert self.address(f"{url}/v1/notifications/certs/CERT-1", options).startswith(url)
        with pytest.raises(NotVerifiedError, match=r"of 127\.0\.0\.1:8443, \*\.paypal\.cn"):
            self.address(paypal.CERTIFICATE_URL, options)

    def test_who_does_not_even_seem_to_sign_makes_nobody_called(self) -> None:
        certificate_url = self.scheme.certificate_url
        assert certificate_url is not None
        for name, value, reason in (
            ("paypal-auth-algo", "SHA1withRSA", "malformed_header"),
            ("paypal-transmission-sig", "not base64 !", "malformed_header"),
            ("paypal-transmission-sig", None, "missing_header"),
            ("paypal-cert-url", None, "missing_header"),
        ):
            request = self.signed()
            given = {key: text for key, text in {**request.headers, name: value}.items() if text is not None}
            with pytest.raises(NotVerifiedError) as caught:
                certificate_url(replace(request, headers=given))
            assert caught.value.verdict.reason == reason

    @pytest.mark.parametrize(("edge", "beyond"), [(paypal.BEGINS, -1), (paypal.ENDS, 1)])
    def test_a_certificate_holds_for_a_time(self, edge: datetime, beyond: int) -> None:
        moment = int(edge.timestamp()) * MICROS_PER_SECOND

        assert self.verify(self.signed(), now=moment).accepted
        verdict = self.verify(self.signed(), now=moment + beyond * MICROS_PER_SECOND)
        assert verdict.reason == "certificate_expired"
        assert verdict.detail.startswith(
            "The certificate that the request names holds from 2026-01-01 to 2036-01-01 only: "
        )

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", paypal.certificate()[:200]])
    def test_what_is_no_certificate_verifies_nothing(self, content: bytes) -> None:
        verdict = self.verify(replace(self.signed(), certificate=content))

        assert verdict.reason == "certificate_refused"
        assert verdict.detail == (
            "What the PAYPAL-CERT-URL header leads to is not a certificate with an RSA key."
        )

    def test_a_certificate_of_another_kind_of_key(self) -> None:
        other = paypal.certificate_of(ed25519.Ed25519PrivateKey.generate().public_key())

        assert self.verify(replace(self.signed(), certificate=other)).reason == "certificate_refused"

    def test_the_first_certificate_of_a_chain_counts(self) -> None:
        request = self.signed()
        issuer = paypal.certificate_of(rsa.generate_private_key(65537, 2048).public_key())

        assert self.verify(replace(request, certificate=request.certificate + issuer)).accepted
        swapped = replace(request, certificate=issuer + request.certificate)
        assert self.verify(swapped).reason == "signature_mismatch"

    def test_space_around_the_webhooks_id_does_no_harm(self) -> None:
        assert self.verify(self.signed(), Secret(NAME, f" {self.secret}\n")).accepted
