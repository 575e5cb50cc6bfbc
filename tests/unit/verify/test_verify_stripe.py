"""Stripe's scheme: the contract, and what is Stripe's own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from integration.core.values import Secret
from tests.contracts.scheme import NOW, Options, SchemeContract


class TestStripe(SchemeContract):
    options: ClassVar[Options] = {"scheme": "stripe"}
    secret = "whsec_test_secret"
    other_secret = "whsec_other"
    header = "stripe-signature"

    def test_the_header_while_a_secret_is_rolled_holds_both_signatures(self) -> None:
        new, old = self.signed(), self.signed(self.other_secret)
        header = f"{new.headers[self.header]},{old.headers[self.header].partition(',')[2]}"
        both = self.with_credentials(new, header)

        assert self.verify(both).accepted
        assert self.verify(both, Secret("OLD", self.other_secret)).accepted

    def test_v0_is_passed_over(self) -> None:
        request = self.signed()
        header = request.headers[self.header]
        only_v0 = self.with_credentials(request, header.replace("v1=", "v0="))

        assert self.verify(self.with_credentials(request, f"{header},v0={'0' * 64}")).accepted
        assert self.verify(only_v0).reason == "malformed_header"
        assert self.verify(only_v0).detail == (
            "The Stripe-Signature header holds no `v1` signature: expected hex text."
        )

    def test_the_key_is_the_whole_secret(self) -> None:
        assert not self.verify(self.signed("test_secret")).accepted

    def test_spaces_and_capitals_do_not_matter(self) -> None:
        header = self.signed().headers[self.header]
        time, signature = header.split(",")
        shouted = f"{time}, v1={signature[3:].upper()}"

        assert self.verify(self.with_credentials(self.signed(), shouted)).accepted

    def test_the_timestamp_is_signed(self) -> None:
        header = self.signed().headers[self.header].replace("t=1795449600", "t=1795449601")

        assert self.verify(self.with_credentials(self.signed(), header)).reason == "signature_mismatch"

    def test_details_say_what_to_check(self) -> None:
        wrong = self.verify(self.signed(self.other_secret))
        untimed = self.verify(self.with_credentials(self.signed(), f"v1={'0' * 64}"))
        unreadable = self.verify(self.with_credentials(self.signed(), f"t=now,v1={'0' * 64}"))
        missing = self.verify(replace(self.signed(), headers={}))
        long = self.verify(self.with_credentials(self.signed(), "t" * 2049))

        assert wrong.detail == (
            "No signature in Stripe-Signature was made with the secret in ACME_WEBHOOK_SECRET: compare with"
            " the secret that the sender shows for this very endpoint. If it is the same, something between"
            " the sender and us changes the body."
        )
        assert untimed.detail == "The Stripe-Signature header holds no timestamp."
        assert (
            unreadable.detail == "The timestamp in Stripe-Signature cannot be read as s: see timestamp.unit."
        )
        assert missing.detail == (
            "The request has no Stripe-Signature header. Check that the sender is set up to send it, that a"
            " proxy in front of us does not remove it, and that the mapping's verify block fits this sender."
        )
        assert long.detail == "The Stripe-Signature header is longer than 2048 characters."

    def test_a_tolerance_of_its_own(self) -> None:
        scheme = type("Strict", (TestStripe,), {"options": {"scheme": "stripe", "tolerance": 5}})()

        assert self.verify(self.signed(), now=NOW + 6_000_000).accepted
        assert scheme.verify(self.signed(), now=NOW + 6_000_000).reason == "timestamp_stale"
