"""Certificates of senders: fetched when they are needed, kept, and never so often that it hurts anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from integration.http.bounded import Answer, Bounds, RefusedAddressError, UnreachableError
from integration.pipeline.verification import (
    FAILED_SECONDS,
    KEPT_SECONDS,
    MOST_A_MINUTE,
    MOST_FAILED,
    Certificates,
    CertificateUnavailableError,
)
from tests import paypal

URL = paypal.CERTIFICATE_URL


class Host:
    """Where certificates come from: `answer` says what comes, `asked` what was asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.bounds: Bounds | None = None
        self.answer: Callable[[], Answer] = lambda: Answer(200, {}, paypal.certificate())
        self.certificates = Certificates(get=self.get, elapsed=lambda: self.now)

    def get(self, url: str, headers: Mapping[str, str], bounds: Bounds) -> Answer:
        assert headers == {}
        self.asked.append(url)
        self.bounds = bounds
        return self.answer()

    def fails(self) -> Answer:
        raise UnreachableError("connection refused")


@pytest.fixture
def host() -> Host:
    return Host()


def test_a_certificate_is_fetched_once_a_day(host: Host) -> None:
    for _ in range(3):
        assert host.certificates.at(URL) == paypal.certificate()
    host.now += KEPT_SECONDS - 1
    host.certificates.at(URL)
    assert host.asked == [URL]

    host.now += 1
    host.certificates.at(URL)
    assert host.asked == [URL, URL]


def test_what_is_fetched_is_bounded_and_public(host: Host) -> None:
    host.certificates.at(URL)

    assert host.bounds == Bounds(5.0, 64 * 1024, allow_private=False)


def test_a_host_that_does_not_answer_is_named_and_left_alone_for_a_while(host: Host) -> None:
    host.answer = host.fails
    for _ in range(3):
        with pytest.raises(CertificateUnavailableError) as caught:
            host.certificates.at(URL)
        assert str(caught.value) == (
            "The certificate that verifies the request could not be fetched from api.paypal.com: connection"
            " refused. The sender is told to come again later; if that lasts, see whether this machine may"
            " call that host."
        )
    assert len(host.asked) == 1

    host.now += FAILED_SECONDS
    host.answer = lambda: Answer(200, {}, paypal.certificate())
    assert host.certificates.at(URL)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(404, {}, b"{}"), "it answered 404"),
        (Answer(302, {"location": "https://elsewhere.example"}, paypal.certificate()), "it answered 302"),
        (Answer(200, {}, b"<html>come back later</html>"), "its answer is no certificate in PEM"),
        (Answer(200, {}, b""), "its answer is no certificate in PEM"),
    ],
)
def test_an_answer_that_is_no_certificate_is_not_kept(host: Host, answer: Answer, why: str) -> None:
    host.answer = lambda: answer

    with pytest.raises(CertificateUnavailableError, match=f"could not be fetched from api.paypal.com: {why}"):
        host.certificates.at(URL)
    host.now += FAILED_SECONDS
    host.answer = lambda: Answer(200, {}, paypal.certificate())
    assert host.certificates.at(URL) == paypal.certificate()


def test_an_address_that_may_not_be_called_is_another_matter(host: Host) -> None:
    def refuses() -> Answer:
        raise RefusedAddressError("api.paypal.com is not a public address")

    host.answer = refuses

    with pytest.raises(RefusedAddressError):
        host.certificates.at(URL)


def test_made_up_addresses_do_not_make_us_knock_without_end(host: Host) -> None:
    host.certificates.at(URL)
    host.answer = host.fails
    for number in range(200):
        with pytest.raises(CertificateUnavailableError):
            host.certificates.at(f"{URL}{number}")

    assert len(host.asked) == MOST_A_MINUTE
    assert host.certificates.at(URL), "the one that is known still serves"
    host.now += 60
    with pytest.raises(CertificateUnavailableError, match="connection refused"):
        host.certificates.at(f"{URL}-after-a-minute")
    assert len(host.asked) == MOST_A_MINUTE + 1


def test_what_is_remembered_is_bounded(host: Host) -> None:
    host.answer = host.fails
    for number in range(MOST_FAILED + 50):
        host.now += 10
        with pytest.raises(CertificateUnavailableError):
            host.certificates.at(f"{URL}{number}")

    assert len(host.certificates._failed) == MOST_FAILED


def test_requests_that_come_together_share_one_fetch(host: Host) -> None:
    go_on, found = threading.Event(), []
    good = host.answer
    host.answer = lambda: (go_on.wait(5), good())[1]

    threads = [threading.Thread(target=lambda: found.append(host.certificates.at(URL))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert found == [paypal.certificate()] * 8
    assert host.asked == [URL]
