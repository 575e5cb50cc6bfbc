"""Certificates that verified a request: kept in the store until they expire, and by nobody else's doing."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND
from integration.http.client import Answer, NoAnswer, Why
from integration.pipeline.verification import (
    MOST_A_MINUTE,
    Certificates,
    CertificateUnavailableError,
    KeptCertificates,
)
from integration.store import certificate_rows
from integration.store.engine import Store
from integration.store.tables import certificates
from tests import paypal

NOW = 1_770_000_000 * MICROS_PER_SECOND
ENDS = int(paypal.ENDS.timestamp()) * MICROS_PER_SECOND
URL = paypal.CERTIFICATE_URL


class Host:
    """Where PayPal publishes certificates: one is there, and no other."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    def get(self, url: str) -> Answer | NoAnswer:
        self.asked.append(url)
        if self.is_away:
            return NoAnswer(Why.UNREACHABLE, "connection refused")
        return Answer(200, {}, paypal.certificate()) if url == URL else Answer(404, {}, b"no")


def process(store: Store, host: Host) -> Certificates:
    """A process that just started."""
    return Certificates(KeptCertificates(store, MAIN_ACCOUNT), host.get, lambda: 0.0)


def rows(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(certificates)).scalar_one()


def test_one_that_verified_serves_other_processes_and_restarts_without_its_host(store: Store) -> None:
    host = Host()
    first = process(store, host)
    first.verified(URL, first.at(URL, NOW), NOW)
    host.is_away = True

    assert process(store, host).at(URL, NOW) == paypal.certificate()
    assert host.asked == [URL]


def test_one_that_is_over_is_asked_for_again(store: Store) -> None:
    host = Host()
    first = process(store, host)
    first.verified(URL, first.at(URL, NOW), NOW)

    process(store, host).at(URL, ENDS)
    assert host.asked == [URL, URL]


def test_strangers_add_no_row_and_cost_a_bounded_number_of_requests(store: Store) -> None:
    host = Host()
    here = process(store, host)
    for number in range(3 * MOST_A_MINUTE):
        with pytest.raises(CertificateUnavailableError):
            here.at(f"{URL}-{number}", NOW)

    assert len(host.asked) == MOST_A_MINUTE
    assert rows(store) == 0


def test_an_address_that_verified_once_is_asked_whatever_strangers_did(store: Store) -> None:
    host = Host()
    first = process(store, host)
    first.verified(URL, first.at(URL, NOW), NOW)
    here = process(store, host)
    for number in range(2 * MOST_A_MINUTE):
        with pytest.raises(CertificateUnavailableError):
            here.at(f"{URL}-{number}", NOW)

    assert here.at(URL, NOW) == paypal.certificate(), "from the store"
    assert here.at(URL, ENDS + 1) == paypal.certificate(), "and from its host"


def test_the_store_keeps_a_bounded_number_and_those_that_hold_longest(store: Store) -> None:
    with store.write() as connection:
        for number in range(certificate_rows.MOST_KEPT + 10):
            certificate_rows.keep_certificate(
                connection, MAIN_ACCOUNT, f"{URL}{number}", b"pem", expires_at=NOW + number + 1, now=NOW
            )

    assert rows(store) == certificate_rows.MOST_KEPT
    with store.read() as connection:
        assert certificate_rows.certificate_at(connection, MAIN_ACCOUNT, f"{URL}0", NOW) is None
        assert certificate_rows.certificate_at(connection, MAIN_ACCOUNT, f"{URL}265", NOW) == b"pem"
