"""The generic scheme: the contract with several sets of options, and its options one by one."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, RawRequest, Secret
from integration.verify import build
from tests.contracts.scheme import BODY, NAME, NOW, Options, SchemeContract, post

SECRET = "acme-signing-secret"
OTHER = "another-signing-secret"


class TestBodyOnly(SchemeContract):
    options: ClassVar[Options] = {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="}
    secret = SECRET
    other_secret = OTHER
    header = "x-hub-signature-256"
    timed = False

    def test_the_prefix_is_required(self) -> None:
        bare = self.signed().headers[self.header].removeprefix("sha256=")
        verdict = self.verify(self.with_credentials(self.signed(), bare))

        assert verdict.reason == "malformed_header"
        assert verdict.detail == (
            "The X-Hub-Signature-256 header holds no signature: expected `sha256=` and hex text."
        )


class TestTimestampHeader(SchemeContract):
    options: ClassVar[Options] = {
        "scheme": "hmac",
        "header": "X-Slack-Signature",
        "prefix": "v0=",
        "timestamp": {"header": "X-Slack-Request-Timestamp"},
        "template": "v0:{timestamp}:{body}",
        "tolerance": 60,
    }
    secret = SECRET
    other_secret = OTHER
    header = "x-slack-signature"
    tolerance = 60


class TestListByPlaceInMilliseconds(SchemeContract):
    options: ClassVar[Options] = {
        "scheme": "hmac",
        "header": "Recurly-Signature",
        "list": {"separator": ",", "timestamp_position": "first"},
        "timestamp": {"unit": "ms"},
        "template": "{timestamp}.{body}",
    }
    secret = SECRET
    other_secret = OTHER
    header = "recurly-signature"

    def test_every_signature_of_the_list_is_tried(self) -> None:
        good = self.signed().headers[self.header]
        time, _, signature = good.partition(",")

        assert self.verify(self.with_credentials(self.signed(), f"{time},{'0' * 64},{signature}")).accepted


class TestTimestampLast(TestListByPlaceInMilliseconds):
    options: ClassVar[Options] = {
        **TestListByPlaceInMilliseconds.options,
        "list": {"separator": ";", "timestamp_position": "last"},
    }

    def test_every_signature_of_the_list_is_tried(self) -> None:
        good = self.signed().headers[self.header]

        assert self.verify(self.with_credentials(self.signed(), f"{'0' * 64};{good}")).accepted


class TestIsoTimeHexKeySha512(SchemeContract):
    options: ClassVar[Options] = {
        "scheme": "hmac",
        "header": "X-Signature",
        "algorithm": "sha512",
        "encoding": "base64",
        "key_encoding": "hex",
        "key_prefix": "k_",
        "timestamp": {"header": "X-Time", "unit": "iso"},
        "template": "{timestamp}{body}",
    }
    secret = "k_" + "ab" * 16
    other_secret = "cd" * 16
    header = "x-signature"

    def test_a_key_that_is_not_hex_is_named(self) -> None:
        verdict = self.scheme.verify(self.signed(), [Secret(NAME, "k_xyz")], NOW)

        assert verdict.reason == "no_secret"
        assert verdict.detail == f"{NAME} is not hex after k_: copy it again."


class TestUrlMethodAndId(SchemeContract):
    options: ClassVar[Options] = {
        "scheme": "hmac",
        "header": "X-Signature",
        "algorithm": "sha1",
        "id_header": "X-Id",
        "template": "{method} {url} {id} {body}",
    }
    secret = SECRET
    other_secret = OTHER
    header = "x-signature"
    timed = False

    def test_the_url_is_signed_and_a_mismatch_says_so(self) -> None:
        moved = replace(self.signed(), url="http://localhost:8000/hooks/acme")
        verdict = self.verify(moved)

        assert verdict.reason == "signature_mismatch"
        assert verdict.detail.endswith(
            "The signature covers the URL: is PUBLIC_URL what the sender was given?"
        )

    def test_the_method_is_signed(self) -> None:
        assert not self.verify(replace(self.signed(), method="PUT")).accepted


class TestPlainHash(SchemeContract):
    options: ClassVar[Options] = {
        "scheme": "hmac",
        "kind": "hash",
        "header": "X-Signature",
        "algorithm": "md5",
        "template": "{secret}{body}",
    }
    secret = SECRET
    other_secret = OTHER
    header = "x-signature"
    timed = False


def verified(options: dict[str, Any], headers: dict[str, str], url: str = "") -> bool:
    request = post(headers)
    request = replace(request, url=url or request.url)
    scheme = build({"scheme": "hmac", "header": "X-Signature", **options})
    return scheme.verify(request, [Secret(NAME, SECRET)], NOW).accepted


def mac(message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(SECRET.encode(), message, algorithm).hexdigest()


def test_the_default_is_hmac_sha256_of_the_body_in_hex() -> None:
    assert verified({}, {"x-signature": mac(BODY)})
    assert verified({}, {"x-signature": mac(BODY).upper()})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5"])
def test_algorithms(algorithm: str) -> None:
    assert verified({"algorithm": algorithm}, {"x-signature": mac(BODY, algorithm)})


def test_an_optional_prefix_and_a_header_that_comes_twice() -> None:
    options = {"prefix": "sha256=", "prefix_optional": True, "list": {"separator": ","}}

    assert verified(options, {"x-signature": mac(BODY)})
    assert verified(options, {"x-signature": f"sha256={'0' * 64}, sha256={mac(BODY)}"})


def test_the_key_prefix_is_taken_off_a_text_key() -> None:
    signed = hmac.new(b"signing-secret", BODY, "sha256").hexdigest()

    assert verified({"key_prefix": "acme-"}, {"x-signature": signed})


def test_hubspot_codes_are_decoded_in_the_query_of_url_hubspot_and_no_others() -> None:
    url = "https://hooks.example.com/hooks/hub%3Aspot?a=%3A%2f%3F%40%21%24%27%28%29%2A%2C%3B&b=%20%25%23"
    plain = "https://hooks.example.com/hooks/hub%3Aspot?a=:/?@!$'()*,;&b=%20%25%23"
    signature = mac(plain.encode() + BODY)

    assert verified({"template": "{url_hubspot}{body}"}, {"x-signature": signature}, url)
    assert not verified({"template": "{url}{body}"}, {"x-signature": signature}, url)


def test_header_bytes_are_signed_as_they_came_over_the_wire() -> None:
    """WSGI shows the UTF-8 bytes of ü as two Latin-1 characters."""
    options = {"id_header": "X-Id", "template": "{id}{body}"}
    signature = mac("ü".encode() + BODY)

    assert verified(options, {"x-signature": signature, "x-id": "ü".encode().decode("latin-1")})


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("s", "1795449600", 0),
        ("ms", "1795449600999", 0),
        ("iso", "2026-11-23T16:00:00Z", 0),
        ("iso", "2026-11-23T17:00:00+01:00", 0),
        ("iso", "2026-11-23T16:00:00", 0),
        ("iso", "2026-11-23T16:00:00.123456789Z", 0),
        ("s", "1795449600.5", None),
        ("s", "-1795449600", None),
        ("s", "+1795449600", None),
        ("s", "٣", None),
        ("s", "9" * 16, None),
        ("ms", "", None),
        ("iso", "0001-01-01T00:00:00+14:00", None),
        ("iso", "yesterday", None),
        ("iso", "2026-11-23T16:00:00" + "0" * 40, None),
    ],
)
def test_timestamps(unit: str, text: str, seconds: int | None) -> None:
    options = {
        "timestamp": {"header": "X-Time", "unit": unit},
        "template": "{timestamp}{body}",
        "tolerance": 1,
    }
    wire = text.encode().decode("latin-1")
    headers = {"x-signature": mac(text.encode() + BODY), "x-time": wire}

    assert verified(options, headers) is (seconds is not None)


def test_digits_beyond_any_time_are_no_timestamp() -> None:
    scheme = build({"scheme": "stripe"})
    text = "9" * 16
    signature = mac(f"{text}.".encode() + BODY)
    verdict = scheme.verify(
        post({"stripe-signature": f"t={text},v1={signature}"}), [Secret(NAME, SECRET)], NOW
    )

    assert verdict.reason == "malformed_header"


def test_a_time_that_no_calendar_holds_is_stale_or_future_but_no_error() -> None:
    options = {"scheme": "hmac", "header": "X-Signature", "timestamp": {"header": "X-Time"}}
    scheme = build({**options, "template": "{timestamp}{body}"})
    text = "9" * 15
    request: RawRequest = post({"x-time": text, "x-signature": mac(text.encode() + BODY)})

    verdict = scheme.verify(request, [Secret(NAME, SECRET)], NOW)

    assert verdict.reason == "timestamp_future"
    assert f"the request is of {text} s after 1970" in verdict.detail


def test_signing_writes_what_verifying_reads() -> None:
    scheme = build(
        {
            "scheme": "hmac",
            "header": "Paddle-Signature",
            "list": {"separator": ";", "pair": "=", "signature_key": "h1", "timestamp_key": "ts"},
            "template": "{timestamp}:{body}",
        }
    )
    signed = scheme.sign(post(), Secret(NAME, SECRET), NOW + 999_999)

    signature = mac(b"1795449600:" + BODY)
    assert signed.headers["paddle-signature"] == f"ts={NOW // MICROS_PER_SECOND};h1={signature}"
    assert hashlib.sha256(signed.body).digest() == hashlib.sha256(BODY).digest()


KEYED = {"separator": ",", "pair": "=", "signature_key": "v1", "timestamp_key": "t"}
TIMED = "{timestamp}.{body}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"template": "{url}"},
            (
                "template: must hold {body} or {form}: an unsigned body could be anyone's (write "
                "e.g. `template: '{timestamp}.{body}'`)"
            ),
        ),
        (
            {"template": "{time}{body}"},
            (
                "template: '{time}' is not a placeholder (use {timestamp}, {id}, {url}, "
                "{url_hubspot}, {method}, {body}, {form}, {secret}, and text between them)"
            ),
        ),
        (
            {"template": TIMED},
            (
                "template: {timestamp} needs `timestamp: {header: ...}` or a timestamp in `list` "
                "(add it, or take the part out)"
            ),
        ),
        (
            {"timestamp": {"header": "X-Time"}},
            (
                "template: must hold {timestamp}, because of `timestamp: {header: ...}` or a "
                "timestamp in `list` (put {timestamp} in, or remove the other)"
            ),
        ),
        (
            {"timestamp": {"unit": "ms"}},
            (
                "timestamp: does not say where the time stands (add `header`, or a timestamp in "
                "`list`, or remove it)"
            ),
        ),
        (
            {"template": "{id}{body}"},
            ("template: {id} needs `id_header` (add it, or take the part out)"),
        ),
        (
            {"id_header": "X-Id"},
            ("template: must hold {id}, because of `id_header` (put {id} in, or remove the other)"),
        ),
        (
            {"template": "{secret}{body}"},
            ("template: {secret} needs `kind: hash` (add it, or take the part out)"),
        ),
        (
            {"kind": "hash"},
            ("template: must hold {secret}, because of `kind: hash` (put {secret} in, or remove the other)"),
        ),
        (
            {"tolerance": 5},
            (
                "tolerance: there is no timestamp to judge (say where it stands: `timestamp: "
                "{header: ...}`, or in `list`; or remove the tolerance)"
            ),
        ),
        (
            {"list": KEYED, "timestamp": {"header": "X-Time"}, "template": TIMED},
            ("timestamp.header: stands in a header of its own and in the list (keep one)"),
        ),
        (
            {"list": {"separator": ",", "signature_key": "v1"}},
            ("list: has keys, and not what stands after one (add `pair`, as `pair: =`)"),
        ),
        (
            {"list": {"separator": ",", "pair": "="}},
            ("list.pair: needs the key of signatures beside it (add `signature_key`, or remove `pair`)"),
        ),
        (
            {"list": {**KEYED, "timestamp_position": "first"}, "template": TIMED},
            (
                "list.timestamp_position: goes with entries without keys, and `pair` says that they "
                "have keys (keep one; entries with keys have `timestamp_key`)"
            ),
        ),
        (
            {"algorithm": "crc32"},
            ("algorithm: text 'crc32' is not known here (write one of: sha256, sha512, sha1, md5)"),
        ),
        (
            {"list": {}, "tolerance": 0},
            ("list: 'separator' is missing (add `separator: ...`); tolerance: is below 1 (write at least 1)"),
        ),
        (
            {"template": "{url}", "tolerance": 5, "id_header": "X-Id"},
            (
                "tolerance: there is no timestamp to judge (say where it stands: `timestamp: "
                "{header: ...}`, or in `list`; or remove the tolerance); template: must hold {body} "
                "or {form}: an unsigned body could be anyone's (write e.g. `template: "
                "'{timestamp}.{body}'`); template: must hold {id}, because of `id_header` (put {id} "
                "in, or remove the other)"
            ),
        ),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        build({"scheme": "hmac", "header": "X-Signature", **options})

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scheme": "hmac"}, "'header' is missing (add `header: ...`)"),
        (
            {},
            (
                "scheme: None is unknown: use one of stripe, standard-webhooks, hmac, basic,"
                " token, adyen, braintree, salesforce, paypal"
            ),
        ),
        (
            {"scheme": ["x"]},
            (
                "scheme: ['x'] is unknown: use one of stripe, standard-webhooks, hmac, basic,"
                " token, adyen, braintree, salesforce, paypal"
            ),
        ),
        ({"scheme": "basic", "user": "me"}, "user: unknown key 'user' (known here: none)"),
        ({"scheme": "stripe", "header": "X"}, "header: unknown key 'header' (known here: tolerance)"),
    ],
)
def test_a_scheme_that_cannot_be_built(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared below
        build(options)

    assert str(caught.value) == sentence


def test_sorted_form_fields_as_twilio_signs_them() -> None:
    # The example of https://www.twilio.com/docs/usage/security, 2026-11-23
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    body = (
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    )
    options = {
        "scheme": "hmac",
        "header": "X-Twilio-Signature",
        "template": "{url}{form}",
        "algorithm": "sha1",
        "encoding": "base64",
    }
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    request = RawRequest(MAIN_ACCOUNT, "acme", "POST", url, "foo=1&bar=2", headers, body, NOW)

    assert build(options).verify(request, [Secret(NAME, "12345")], NOW).accepted
    tampered = replace(request, body=body + b"&x=1")
    assert build(options).verify(tampered, [Secret(NAME, "12345")], NOW).reason == "signature_mismatch"


@pytest.mark.parametrize(
    "body", [b"Body=Zo%C3%AB+%F0%9F%98%80&At=1", "Body=Zo\u00eb+\U0001f600&At=1".encode()]
)
def test_form_fields_that_are_no_ascii_are_signed_as_the_bytes_they_stand_for(body: bytes) -> None:
    options = {"scheme": "hmac", "header": "X-Sign", "template": "{form}"}
    signed = "At1BodyZo\u00eb \U0001f600".encode()
    signature = hmac.digest(b"12345", signed, "sha256").hex()

    assert (
        build(options).verify(post({"x-sign": signature}, body=body), [Secret(NAME, "12345")], NOW).accepted
    )


def test_a_form_that_is_too_large_is_refused_and_never_signed() -> None:
    scheme = build({"scheme": "hmac", "header": "X-Sign", "template": "{form}"})
    request = post({"x-sign": "00"}, body=b"a=1&" * 10_001)

    assert scheme.verify(request, [Secret(NAME, "12345")], NOW).reason == "malformed_body"
    with pytest.raises(ValueError, match=f"^The body cannot be signed with {NAME}: The body is not a form"):
        scheme.sign(request, Secret(NAME, "12345"), NOW)
