"""Verification: the verdict of a source's scheme, once the certificate that it wants is at hand.

Schemes are pure. Where a sender signs with a certificate that it publishes, the certificate is fetched here:
from the hosts that the scheme trusts, bounded, and kept, so that hardly any request has to wait for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificate

from integration.config.sources import Receiver
from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import Micros, RawRequest, Verdict
from integration.http.bounded import Answer, Bounds, RefusedAddressError, TooLargeError, UnreachableError
from integration.http.bounded import get as bounded_get
from integration.verify.scheme import NotVerifiedError

KEPT_SECONDS = 24 * 3600
FAILED_SECONDS = 30  # so long after a failure the same address is not asked again
FETCH_SECONDS = 5.0  # senders wait 10 s and more for their answer
LARGEST_CERTIFICATE = 64 * 1024  # bytes; a chain of four has about 8 KiB
MOST_A_MINUTE = 12  # strangers can make up addresses: we do not knock at the sender's door for all of them
MOST_KEPT = 32
MOST_FAILED = 256

Get = Callable[[str, Mapping[str, str], Bounds], Answer]
T = TypeVar("T")
log = logging.getLogger(__name__)


class CertificateUnavailableError(LeadwireError):
    """There is no certificate now; the message says whose, and why."""


class Certificates:
    """Certificates of senders by their address, in PEM. Safe for many threads; one is fetched at a time.

    `get` makes the bounded GET; `elapsed` is a clock in seconds that never goes back.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        get: Get = bounded_get,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = Bounds(FETCH_SECONDS, LARGEST_CERTIFICATE, allow_private)
        self._get = get
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._asked_at: deque[float] = deque(maxlen=MOST_A_MINUTE)

    def at(self, url: str) -> bytes:
        """The certificate at this address.

        Raises CertificateUnavailableError, RefusedAddressError if the address may not be called.
        """
        found = self._known(url)
        if found is not None:
            return found
        if not self._lock.acquire(timeout=FETCH_SECONDS):
            raise _unavailable(url, "others are being fetched")
        try:
            return self._known(url) or self._fetch(url)
        finally:
            self._lock.release()

    def _known(self, url: str) -> bytes | None:
        until, certificate = self._kept.get(url, (0.0, b""))
        if self._elapsed() < until:
            return certificate
        until, why = self._failed.get(url, (0.0, ""))
        if self._elapsed() < until:
            raise _unavailable(url, why)
        return None

    def _fetch(self, url: str) -> bytes:
        now = self._elapsed()
        if len(self._asked_at) == MOST_A_MINUTE and now - self._asked_at[0] < 60:
            raise _unavailable(url, f"{MOST_A_MINUTE} were asked for within a minute")
        self._asked_at.append(now)
        try:
            certificate = self._fetched(url)
        except (UnreachableError, TooLargeError, ValueError) as error:
            _keep(self._failed, url, (self._elapsed() + FAILED_SECONDS, str(error)), MOST_FAILED)
            raise _unavailable(url, str(error)) from error
        _keep(self._kept, url, (self._elapsed() + KEPT_SECONDS, certificate), MOST_KEPT)
        log_action(log, "certificate.fetched", "Fetched the certificate of a sender", url=url)
        return certificate

    def _fetched(self, url: str) -> bytes:
        answer = self._get(url, {}, self._bounds)
        if answer.status != 200:
            raise UnreachableError(f"it answered {answer.status}")
        try:
            load_pem_x509_certificate(answer.body)
        except ValueError:
            raise UnreachableError("its answer is no certificate in PEM") from None
        return answer.body


class Verifier:
    """The one way to a verdict, live and for stored requests. Safe for many threads."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def verdict(self, source: Receiver, request: RawRequest, now: Micros) -> Verdict:
        """The verdict on a request of this source; `certificate_unavailable` if it can only be had later."""
        address_of = source.scheme.certificate_url
        if address_of is not None and source.secrets:
            try:
                request = replace(request, certificate=self._certificates.at(address_of(request)))
            except NotVerifiedError as error:
                return error.verdict
            except RefusedAddressError as error:
                return Verdict("certificate_refused", f"The certificate's address is not called: {error}.")
            except CertificateUnavailableError as error:
                return Verdict("certificate_unavailable", str(error))
        return source.scheme.verify(request, source.secrets, now)


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
