"""Verification: the verdict of a source's scheme, once the certificate that it wants is at hand.

Schemes are pure. Where a sender signs with a certificate that it publishes, the certificate is fetched here:
from the hosts that the scheme trusts, bounded, and kept, so that hardly any request has to wait for it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificate

from integration.config.sources import Receiver
from integration.core.clock import elapsed
from integration.core.errors import LeadwireError, StoreUnavailableError
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Micros, RawRequest, Verdict
from integration.core.world import world
from integration.http.client import Answer, Bounds, Client, NoAnswer, Why
from integration.store.certificate_rows import certificate_at, has_verified, keep_certificate
from integration.store.engine import Store
from integration.verify.scheme import NotVerifiedError

REMEMBERED_SECONDS = 24 * 3600  # in this process; the store keeps what verified until it expires
FAILED_SECONDS = 30  # so long after a failure the same address is not asked again
# Senders wait 10 s and more for their answer. A chain of four certificates has about 8 KiB.
BOUNDS = Bounds(seconds=5.0, max_bytes=64 * 1024)
# Of addresses that never verified anything: strangers can make them up without end. One a second troubles
# no sender's host, and leaves room for the first request of a sender beside a stranger's.
MOST_A_MINUTE = 60
MOST_REMEMBERED = 32
MOST_FAILED = 256

Get = Callable[[str], Answer | NoAnswer]
T = TypeVar("T")
log = logging.getLogger(__name__)


class CertificateUnavailableError(LeadwireError):
    """There is no certificate now; the message says whose, and why."""


class CertificateRefusedError(LeadwireError):
    """The address of the certificate may not be called."""


class Known(Enum):
    """What the store knows of an address."""

    NOTHING = "never verified a request"
    EXPIRED = "verified one once"


class Keeper(Protocol):
    """What remembers certificates that verified a request, for all processes."""

    def find(self, url: str, now: Micros) -> bytes | Known:
        """The certificate at this address, if it has not expired."""

    def keep(self, url: str, pem: bytes, now: Micros) -> bool:
        """Keep a certificate that verified a request. False if it could not be kept."""


class KeptCertificates:
    """The certificates that verified a request, in the store: all processes share them, restarts keep them.

    A store that is away is no reason to refuse a request here: whoever asks then goes without it.
    """

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._account = account
        self._run_blocking = world().blocking_runner(cooperative=not store.is_sqlite)

    def find(self, url: str, now: Micros) -> bytes | Known:
        """The certificate at this address, if it has not expired."""
        try:
            return self._run_blocking(lambda: self._find(url, now))
        except StoreUnavailableError:
            return Known.NOTHING

    def _find(self, url: str, now: Micros) -> bytes | Known:
        with self._store.read() as connection:
            if (found := certificate_at(connection, self._account, url, now)) is not None:
                return found
            return Known.EXPIRED if has_verified(connection, self._account, url) else Known.NOTHING

    def keep(self, url: str, pem: bytes, now: Micros) -> bool:
        """Keep a certificate that verified a request. False if the store is away: then the next one does."""
        try:
            self._run_blocking(lambda: self._keep(url, pem, now))
        except StoreUnavailableError:
            return False
        return True

    def _keep(self, url: str, pem: bytes, now: Micros) -> None:
        ends = load_pem_x509_certificate(pem).not_valid_after_utc
        expires_at = int(ends.timestamp()) * MICROS_PER_SECOND
        with self._store.write() as connection:
            keep_certificate(connection, self._account, url, pem, expires_at=expires_at, now=now)


class Certificates:
    """Certificates of senders by their address, in PEM. Safe for many threads; one is fetched at a time.

    `get` makes the bounded GET; `elapsed` is a clock in seconds that never goes back.
    """

    def __init__(
        self,
        kept: Keeper,
        get: Get,
        elapsed: Callable[[], float] = elapsed,
    ) -> None:
        self._kept = kept
        self._get = get
        self._elapsed = elapsed
        self._lock = world().lock()
        self._remembered: dict[str, tuple[float, bytes]] = {}
        self._verified: dict[str, bytes] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._asked_at: deque[float] = deque(maxlen=MOST_A_MINUTE)

    def at(self, url: str, now: Micros) -> bytes:
        """The certificate at this address.

        Raises CertificateUnavailableError, CertificateRefusedError.
        """
        found = self._known(url)
        if found is not None:
            return found
        kept = self._kept.find(url, now)
        if isinstance(kept, bytes):
            self._remember(url, kept)
            return kept
        if not self._lock.acquire(timeout=BOUNDS.seconds):
            raise _unavailable(url, "others are being fetched")
        try:
            return self._known(url) or self._fetch(url, is_strange=kept is Known.NOTHING)
        finally:
            self._lock.release()

    def verified(self, url: str, certificate: bytes, now: Micros) -> None:
        """This certificate verified a request: it is kept, and its address is not a stranger's any more."""
        if self._verified.get(url) != certificate and self._kept.keep(url, certificate, now):
            _keep(self._verified, url, certificate, MOST_REMEMBERED)

    def _known(self, url: str) -> bytes | None:
        until, certificate = self._remembered.get(url, (0.0, b""))
        if self._elapsed() < until:
            return certificate
        until, why = self._failed.get(url, (0.0, ""))
        if self._elapsed() < until:
            raise _unavailable(url, why)
        return None

    def _remember(self, url: str, certificate: bytes) -> None:
        _keep(self._remembered, url, (self._elapsed() + REMEMBERED_SECONDS, certificate), MOST_REMEMBERED)

    def _fetch(self, url: str, *, is_strange: bool) -> bytes:
        if is_strange:
            self._count(url)
        answer = self._get(url)
        if isinstance(answer, NoAnswer) and answer.why is Why.ADDRESS_REFUSED:
            raise CertificateRefusedError(answer.words)
        found = _certificate_in(answer)
        if isinstance(found, str):
            _keep(self._failed, url, (self._elapsed() + FAILED_SECONDS, found), MOST_FAILED)
            raise _unavailable(url, found)
        self._remember(url, found)
        log_action(log, "certificate.fetched", "Fetched the certificate of a sender", url=url)
        return found

    def _count(self, url: str) -> None:
        now = self._elapsed()
        if len(self._asked_at) == MOST_A_MINUTE and now - self._asked_at[0] < 60:
            raise _unavailable(url, f"{MOST_A_MINUTE} were asked for within a minute")
        self._asked_at.append(now)


def published(store: Store, account: str, *, allow_private: bool) -> Certificates:
    """The certificates that the store keeps for the account, and those that senders publish."""
    client = Client(public_only=not allow_private, connections=0)
    return Certificates(KeptCertificates(store, account), lambda url: client.request("GET", url, BOUNDS))


def _certificate_in(answer: Answer | NoAnswer) -> bytes | str:
    """The certificate in this answer; a text says why there is none."""
    if isinstance(answer, NoAnswer):
        return answer.words
    if answer.status != 200:
        return f"it answered {answer.status}"
    try:
        load_pem_x509_certificate(answer.body)
    except ValueError:
        return "its answer is not a certificate in PEM"
    return answer.body


class Verifier:
    """The one way to a verdict, live and for stored requests. Safe for many threads."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def verdict(self, source: Receiver, request: RawRequest, now: Micros) -> Verdict:
        """The verdict on a request of this source; `certificate_unavailable` if it can only be had later."""
        address_of = source.scheme.certificate_url
        if address_of is None or not source.secrets:
            return source.scheme.verify(request, source.secrets, now)
        try:
            url = address_of(request)
            request = replace(request, certificate=self._certificates.at(url, now))
        except NotVerifiedError as error:
            return error.verdict
        except CertificateRefusedError as error:
            return Verdict("certificate_refused", f"The certificate's address is not called: {error}.")
        except CertificateUnavailableError as error:
            return Verdict("certificate_unavailable", str(error))
        verdict = source.scheme.verify(request, source.secrets, now)
        if verdict.accepted:
            self._certificates.verified(url, request.certificate, now)
        return verdict


def _unavailable(url: str, why: str) -> CertificateUnavailableError:
    host = urlsplit(url).hostname or "the sender"
    return CertificateUnavailableError(
        f"The certificate that verifies the request could not be fetched from {host}: {why}. The sender is"
        " told to come again later; if that lasts, see whether this machine may call that host."
    )


def _keep(entries: dict[str, T], key: str, value: T, most: int) -> None:
    """Put an entry last, and let the oldest go where there are too many."""
    entries.pop(key, None)
    entries[key] = value
    while len(entries) > most:
        del entries[next(iter(entries))]
