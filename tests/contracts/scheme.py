"""What every signature scheme must do: inherit `SchemeContract` once per scheme."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, Micros, RawRequest, Secret, Verdict
from integration.verify import SCHEMES, Scheme, build, redact

NOW: Micros = 1_795_449_600 * MICROS_PER_SECOND  # 2026-11-23T16:00:00Z
BODY = b'{"id": "evt_1", "name": "Zo\xc3\xab"}'
NAME = "ACME_WEBHOOK_SECRET"
OLD = "ACME_WEBHOOK_SECRET_OLD"
Options = Mapping[str, Any]
MALFORMED = {
    "empty": "",
    "blank": "   ",
    "garbage base64": "!!!not=base64???",
    "non-ASCII": "t=1,v1=ünïcödé, £ € 日本",
    "non-ASCII digits": "t=١٢٣,v1=٤٥",
    "a lone surrogate": "v1=\ud800",
    "huge": "A" * 1_000_000,
    "NUL": "t=1\x00,v1=\x00\x00",
    "line breaks": "t=1\r\nv1=aa\r\n",
    "separators only": ",=;, ,v1,=,;;==",
    "wrong separators": "t:1;v1:5257a869",
    "huge digit string": f"t={'9' * 2000},v1={'a' * 64}",
    "a digest as stored": f"sha256:{'0' * 64}",
}
# RFC 9110, section 11.3: the name of an authentication scheme, and its parameters
CHALLENGE = re.compile(r"""[A-Za-z0-9!#$%&'*+.^_`|~-]+ realm="leadwire"(?:, [a-z]+="[^"]*")*""")
# Everything that `str` can hold, halves of surrogate pairs as well.
_ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=80)
law = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


def post(headers: Mapping[str, str] | None = None, query: str = "", body: bytes = BODY) -> RawRequest:
    url = f"https://hooks.example.com/hooks/acme{'?' if query else ''}{query}"
    given_headers = {"content-type": "application/json", "user-agent": "Acme/1.0", **(headers or {})}
    return RawRequest(MAIN_ACCOUNT, "acme", "POST", url, query, given_headers, body, NOW)


class SchemeContract(ABC):
    """`options` as in a mapping file without secrets; `secret` and `other_secret` are both usable.

    `header` is where the credentials stand (None: in the query). `covers_body` and `timed` say what the
    scheme protects; `plain` that the secret itself travels.
    """

    options: ClassVar[Options]
    secret: ClassVar[str]
    other_secret: ClassVar[str]
    header: ClassVar[str | None]
    covers_body: ClassVar[bool] = True
    timed: ClassVar[bool] = True
    plain: ClassVar[bool] = False
    tolerance: ClassVar[int] = 300

    @property
    def scheme(self) -> Scheme:
        return build(self.options)

    @property
    def live(self) -> Secret:
        return Secret(NAME, self.secret)

    @property
    def mismatch(self) -> str:
        return "credentials_mismatch" if self.plain else "signature_mismatch"

    def signed(self, secret: str | None = None, at: Micros = NOW, body: bytes = BODY) -> RawRequest:
        return self.scheme.sign(post(body=body), Secret("SENDER", secret or self.secret), at)

    def verify(self, request: RawRequest, *secrets: Secret, now: Micros = NOW) -> Verdict:
        """The verdict, after checking that storage does not change it and that no secret is told."""
        live = secrets or (self.live,)
        verdict = self.scheme.verify(request, live, now)
        stored = redact(self.scheme, request)
        again = self.scheme.verify(stored, live, now)
        assert (again.reason, again.secret_name) == (verdict.reason, verdict.secret_name)
        for value in (secret.value for secret in live if secret.value.strip()):
            assert value not in verdict.detail
            assert value not in repr(stored)
        return verdict

    def with_credentials(self, request: RawRequest, text: str) -> RawRequest:
        assert self.header is not None
        return replace(request, headers={**request.headers, self.header: text})

    def test_a_good_request_is_accepted(self) -> None:
        assert self.verify(self.signed()) == Verdict(secret_name=NAME)

    def test_the_body_is_taken_as_raw_bytes(self) -> None:
        for body in (b"", b"\x00\xff\xfe{", b"{}\r\n", "é".encode("latin-1")):
            assert self.verify(self.signed(body=body)).accepted

    def test_it_says_what_it_asks_for_in_the_form_of_a_challenge(self) -> None:
        assert CHALLENGE.fullmatch(self.scheme.challenge)

    def test_a_tampered_body(self) -> None:
        tampered = replace(self.signed(), body=BODY + b" ")

        expected = "signature_mismatch" if self.covers_body else None
        assert self.verify(tampered).reason == expected

    def test_a_wrong_secret_is_refused_and_the_setting_named(self) -> None:
        verdict = self.verify(self.signed(self.other_secret))

        assert verdict.reason == self.mismatch
        assert verdict.secret_name == ""
        assert NAME in verdict.detail

    def test_a_request_without_credentials(self) -> None:
        verdict = self.verify(post())

        assert verdict.reason == "missing_header"

    def test_the_detail_never_holds_what_would_have_passed(self) -> None:
        good, bad = self.signed(), self.signed(self.other_secret)
        detail = self.verify(bad).detail

        for name in self.scheme.headers:
            assert good.headers[name] not in detail if name in good.headers else True

    def test_time_within_the_tolerance(self) -> None:
        for offset in (-self.tolerance, self.tolerance):
            assert self.verify(self.signed(), now=NOW + offset * MICROS_PER_SECOND).accepted

    def test_a_stale_timestamp(self) -> None:
        verdict = self.verify(self.signed(), now=NOW + (self.tolerance + 1) * MICROS_PER_SECOND)

        assert verdict.reason == ("timestamp_stale" if self.timed else None)
        if self.timed:
            late = self.tolerance + 1
            assert f"is of 2026-11-23T16:00:00Z, {late} s before 2026-11-23T16:" in verdict.detail
            assert f"the tolerance is {self.tolerance} s" in verdict.detail

    def test_a_timestamp_beyond_the_tolerance_in_the_future(self) -> None:
        verdict = self.verify(self.signed(), now=NOW - (self.tolerance + 1) * MICROS_PER_SECOND)

        assert verdict.reason == ("timestamp_future" if self.timed else None)

    def test_a_stale_request_with_a_wrong_signature_is_not_called_stale(self) -> None:
        verdict = self.verify(self.signed(self.other_secret), now=NOW + 10**12)

        assert verdict.reason == self.mismatch

    def test_the_second_of_two_secrets(self) -> None:
        old = Secret(OLD, self.other_secret)

        assert self.verify(self.signed(self.other_secret), self.live, old) == Verdict(secret_name=OLD)
        assert self.verify(self.signed(), self.live, old) == Verdict(secret_name=NAME)

    @pytest.mark.parametrize("blank", ["", " ", "\t\n"])
    def test_an_empty_secret_verifies_nothing(self, blank: str) -> None:
        for request in (self.signed(), post()):
            verdict = self.verify(request, Secret(NAME, blank))
            assert verdict.reason == "no_secret"
            assert verdict.detail.startswith(f"{NAME} is blank: set it to ")
        assert self.verify(self.signed(), Secret(OLD, blank), self.live) == Verdict(secret_name=NAME)
        with pytest.raises(ValueError, match=f"{NAME} is blank"):
            self.scheme.sign(post(), Secret(NAME, blank), NOW)

    def test_no_secret_at_all(self) -> None:
        verdict = self.scheme.verify(self.signed(), [], NOW)

        assert verdict == Verdict(
            "no_secret", "No secret of this source is set: set one that its mapping names."
        )

    @pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
    def test_malformed_credentials(self, text: str) -> None:
        verdict = self.verify(self.with_credentials(self.signed(), text))

        assert verdict.reason in {"malformed_header", self.mismatch}

    def test_every_header_malformed_in_every_way(self) -> None:
        for name in self.scheme.headers & self.signed().headers.keys():
            for text in MALFORMED.values():
                request = self.signed()
                request = replace(request, headers={**request.headers, name: text})
                assert not self.verify(request).accepted

    @law
    @given(text=_ANY_TEXT)
    @example(text="sha256:" + "0" * 64)
    def test_no_text_in_the_place_of_the_credentials_raises_or_verifies(self, text: str) -> None:
        assert not self.verify(self.with_credentials(self.signed(), text)).accepted

    @law
    @given(data=st.data())
    def test_no_headers_raise_or_verify(self, data: st.DataObject) -> None:
        names = st.sampled_from(sorted(self.scheme.headers | {"x-other"}))
        headers = data.draw(st.dictionaries(names, _ANY_TEXT))

        assert not self.verify(post(headers)).accepted

    @law
    @given(value=_ANY_TEXT)
    def test_no_secret_text_raises(self, value: str) -> None:
        assert not self.scheme.verify(post(), [Secret(NAME, value)], NOW).accepted
        assert not self.scheme.verify(self.signed(), [Secret(NAME, value + "x")], NOW).accepted

    def test_a_stored_request_can_be_verified_with_the_right_secret_later(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert self.scheme.verify(stored, [Secret(NAME, self.other_secret)], NOW).reason == self.mismatch
        assert self.scheme.verify(stored, [self.live], NOW).accepted

    def test_redacting_twice_is_redacting_once(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert stored.redacted
        assert redact(self.scheme, stored) == stored

    def test_a_live_request_cannot_pass_with_what_is_stored(self) -> None:
        stored = redact(self.scheme, self.signed())

        assert (
            self.scheme.verify(replace(stored, redacted=False), [self.live], NOW).accepted is not self.plain
        )

    def test_wrong_credentials_are_not_stored_either(self) -> None:
        stored = redact(self.scheme, self.signed(self.other_secret))

        assert self.other_secret not in repr(stored)

    def test_it_is_registered_with_described_options(self) -> None:
        kind = SCHEMES[self.options["scheme"]]

        assert kind.name == self.options["scheme"] == self.scheme.name
        Draft202012Validator.check_schema(kind.options)
        _assert_described(kind.options)

    def test_an_unknown_option_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"^colour: unknown key 'colour'.* \(known here: "):
            build({**self.options, "colour": "red"})


def _assert_described(schema: Mapping[str, Any]) -> None:
    assert schema["description"]
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False
        for option in schema["properties"].values():
            _assert_described(option)
