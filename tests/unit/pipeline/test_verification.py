"""Certificates of senders: fetched when they are needed, kept, and never so often that it hurts anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from integration.http.client import Answer, NoAnswer, Why
from integration.pipeline.verification import (
    BOUNDS,
    FAILED_SECONDS,
    MOST_A_MINUTE,
    MOST_FAILED,
    REMEMBERED_SECONDS,
    CertificateRefusedError,
    Certificates,
    CertificateUnavailableError,
)
from tests import paypal

URL = paypal.CERTIFICATE_URL
NOW = 1_770_000_000_000_000


class Host:
    """Where certificates come from: `answer` says what comes, `asked` what was asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.answer: Callable[[], Answer | NoAnswer] = lambda: Answer(200, {}, paypal.certificate())
        self.keeper = paypal.InMemory()
        self.certificates = Certificates(self.keeper, self.get, lambda: self.now)

    def get(self, url: str) -> Answer | NoAnswer:
        self.asked.append(url)
        return self.answer()

    def at(self, url: str) -> bytes:
        return self.certificates.at(url, NOW)

    def fails(self) -> NoAnswer:
        return NoAnswer(Why.UNREACHABLE, "connection refused")


@pytest.fixture
def host() -> Host:
    return Host()


def test_a_certificate_is_fetched_once_a_day(host: Host) -> None:
    for _ in range(3):
        assert host.at(URL) == paypal.certificate()
    host.now += REMEMBERED_SECONDS - 1
    host.at(URL)
    assert host.asked == [URL]

    host.now += 1
    host.at(URL)
    assert host.asked == [URL, URL]


def test_what_is_fetched_is_bounded_and_whole() -> None:
    assert (BOUNDS.seconds, BOUNDS.max_bytes, BOUNDS.whole) == (5.0, 64 * 1024, True)


def test_one_that_verified_a_request_is_kept_and_served_without_fetching(host: Host) -> None:
    host.certificates.verified(URL, host.at(URL), NOW)
    host.now += 2 * REMEMBERED_SECONDS

    assert host.at(URL) == paypal.certificate()
    assert host.asked == [URL]


def test_one_that_verified_nothing_is_not_kept(host: Host) -> None:
    host.at(URL)

    assert host.keeper.kept == {}


def test_an_address_that_verified_a_request_is_not_counted_with_those_of_strangers(
    host: Host,
) -> None:
    host.keeper.expired.add(URL)
    good, host.answer = host.answer, host.fails
    for number in range(MOST_A_MINUTE + 1):
        with pytest.raises(CertificateUnavailableError):
            host.at(f"{URL}{number}")

    host.answer = good
    assert host.at(URL) == paypal.certificate()


def test_a_host_that_does_not_answer_is_named_and_left_alone_for_a_while(host: Host) -> None:
    host.answer = host.fails
    for _ in range(3):
        with pytest.raises(CertificateUnavailableError) as caught:
            host.at(URL)
        assert str(caught.value) == (
            "The certificate that verifies the request could not be fetched from api.paypal.com: connection"
            " refused. The sender is told to come again later; if that lasts, see whether this machine may"
            " call that host."
        )
    assert len(host.asked) == 1

    host.now += FAILED_SECONDS
    host.answer = lambda: Answer(200, {}, paypal.certificate())
    assert host.at(URL)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(404, {}, b"{}"), "it answered 404"),
        (Answer(302, {"location": "https://elsewhere.example"}, paypal.certificate()), "it answered 302"),
        (Answer(200, {}, b"<html>come back later</html>"), "its answer is not a certificate in PEM"),
        (Answer(200, {}, b""), "its answer is not a certificate in PEM"),
    ],
)
def test_an_answer_that_is_no_certificate_is_not_kept(host: Host, answer: Answer, why: str) -> None:
    host.answer = lambda: answer

    with pytest.raises(CertificateUnavailableError, match=f"could not be fetched from api.paypal.com: {why}"):
        host.at(URL)
    host.now += FAILED_SECONDS
    host.answer = lambda: Answer(200, {}, paypal.certificate())
    assert host.at(URL) == paypal.certificate()


def test_an_address_that_may_not_be_called_is_another_matter(host: Host) -> None:
    host.answer = lambda: NoAnswer(Why.ADDRESS_REFUSED, "api.paypal.com is not a public address")

    with pytest.raises(CertificateRefusedError):
        host.at(URL)


def test_made_up_addresses_do_not_make_us_knock_without_end(host: Host) -> None:
    host.at(URL)
    host.answer = host.fails
    for number in range(200):
        with pytest.raises(CertificateUnavailableError):
            host.at(f"{URL}{number}")

    assert len(host.asked) == MOST_A_MINUTE
    assert host.at(URL), "the one that is known still serves"
    host.now += 60
    with pytest.raises(CertificateUnavailableError, match="connection refused"):
        host.at(f"{URL}-after-a-minute")
    assert len(host.asked) == MOST_A_MINUTE + 1


def test_what_is_remembered_is_bounded(host: Host) -> None:
    host.answer = host.fails
    for number in range(MOST_FAILED + 50):
        host.now += 10
        with pytest.raises(CertificateUnavailableError):
            host.at(f"{URL}{number}")

    assert len(host.certificates._failed) == MOST_FAILED


def test_requests_that_come_together_share_one_fetch(host: Host) -> None:
    go_on, found = threading.Event(), []
    good = host.answer
    host.answer = lambda: (go_on.wait(5), good())[1]

    threads = [threading.Thread(target=lambda: found.append(host.at(URL))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert found == [paypal.certificate()] * 8
    assert host.asked == [URL]
