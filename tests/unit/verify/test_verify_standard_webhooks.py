"""Standard Webhooks: the contract with both families of headers, and what is its own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from integration.core.values import RawRequest, Secret
from integration.verify import Scheme, build
from tests.contracts.scheme import NAME, NOW, Options, SchemeContract, post


class TestStandardWebhooks(SchemeContract):
    options: ClassVar[Options] = {"scheme": "standard-webhooks"}
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    other_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    header = "webhook-signature"

    def test_entries_of_other_versions_are_passed_over(self) -> None:
        request = self.signed()
        good = request.headers[self.header]
        asymmetric = f"v1a,{good.partition(',')[2]}"

        assert self.verify(self.with_credentials(request, f"{asymmetric} v2,abc {good}")).accepted
        assert self.verify(self.with_credentials(request, asymmetric)).reason == "malformed_header"

    def test_several_signatures(self) -> None:
        request = self.signed()
        other = self.signed(self.other_secret).headers[self.header]
        both = self.with_credentials(request, f"{other} {request.headers[self.header]}")

        assert self.verify(both).accepted

    def test_padding_of_the_secret_and_of_the_signature_may_be_missing(self) -> None:
        padded = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLQ=="
        request = self.signed(padded)
        bare = self.with_credentials(request, request.headers[self.header].rstrip("="))

        assert self.verify(bare, Secret(NAME, padded.rstrip("="))).accepted

    def test_the_prefix_of_the_secret_may_be_missing(self) -> None:
        assert self.verify(self.signed(self.secret.removeprefix("whsec_"))).accepted

    @pytest.mark.parametrize("unusable", ["whsec_", "whsec_====", "whsec_not base64!", "whsec_ü"])
    def test_a_secret_that_is_not_base64_is_named(self, unusable: str) -> None:
        verdict = self.scheme.verify(self.signed(), [Secret(NAME, unusable)], NOW)
        beside_it = self.scheme.verify(self.signed(), [Secret("BAD", unusable), self.live], NOW)

        assert verdict.reason == "no_secret"
        assert verdict.detail in {
            f"{NAME} is not base64 after whsec_: copy it again.",
            f"{NAME} holds nothing after whsec_: copy the whole secret.",
        }
        assert beside_it.accepted

    def test_a_mismatch_also_names_secrets_that_cannot_be_used(self) -> None:
        request = self.signed(self.other_secret)
        verdict = self.scheme.verify(request, [self.live, Secret("BAD", "whsec_?")], NOW)

        assert verdict.detail.endswith("BAD is not base64 after whsec_: copy it again.")

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
    def test_every_header_is_needed(self, name: str) -> None:
        request = self.signed()
        without = {key: value for key, value in request.headers.items() if key != name}
        verdict = self.verify(replace(request, headers=without))

        assert verdict.reason == "missing_header"
        assert f"no {name} header" in verdict.detail

    def test_the_id_is_signed_and_kept_when_the_request_has_one(self) -> None:
        request = replace(self.signed(), headers={"webhook-id": "msg_mine"})
        signed = self.scheme.sign(request, self.live, NOW)

        assert signed.headers["webhook-id"] == "msg_mine"
        assert self.verify(signed).accepted
        assert not self.verify(replace(signed, headers={**signed.headers, "webhook-id": "msg_x"})).accepted

    def test_the_same_body_is_the_same_message(self) -> None:
        assert self.signed().headers["webhook-id"] == self.signed(at=NOW + 1).headers["webhook-id"]
        assert self.signed().headers["webhook-id"] != self.signed(body=b"{}").headers["webhook-id"]


class TestPolar(SchemeContract):
    options: ClassVar[Options] = {"scheme": "standard-webhooks", "key_encoding": "utf8"}
    secret = "polar_whs_ovyN6cPrTv56"
    other_secret = "polar_whs_other"
    header = "webhook-signature"


def _as_svix(request: RawRequest) -> RawRequest:
    headers = {name.replace("webhook-", "svix-"): value for name, value in request.headers.items()}
    return replace(request, headers=headers)


class TestSvix(SchemeContract):
    """Requests with svix-* headers; sign() writes webhook-* ones, as the standard has it."""

    options: ClassVar[Options] = {"scheme": "standard-webhooks"}
    secret = TestStandardWebhooks.secret
    other_secret = TestStandardWebhooks.other_secret
    header = "svix-signature"

    @property
    def scheme(self) -> Scheme:
        scheme = build(self.options)
        return replace(scheme, sign=lambda *given: _as_svix(scheme.sign(*given)))


PUBLIC_KEY = "whpk_y4w9h9KRyFYL/MI6NFVk0ELr/MN1j8mGle+BdpNLplo="


def test_a_public_key_cannot_sign_and_says_why() -> None:
    with pytest.raises(ValueError, match=f"{NAME} is a public key, which cannot sign"):
        build({"scheme": "standard-webhooks"}).sign(post(), Secret(NAME, PUBLIC_KEY), NOW)


def test_a_public_key_that_is_none_is_named() -> None:
    verdict = build({"scheme": "standard-webhooks"}).verify(post(), [Secret(NAME, "whpk_abcd")], NOW)

    assert verdict.detail == f"{NAME} is no Ed25519 public key after whpk_: copy it again."


def test_a_shared_secret_beside_a_public_key_still_counts() -> None:
    scheme, shared = build({"scheme": "standard-webhooks"}), Secret(NAME, TestStandardWebhooks.secret)

    verdict = scheme.verify(scheme.sign(post(), shared, NOW), [Secret("PUBLIC", PUBLIC_KEY), shared], NOW)

    assert verdict.accepted
    assert verdict.secret_name == NAME
