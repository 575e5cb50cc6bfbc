"""What went wrong on the network, in words of our own (level 0).

The texts of the libraries are never used: they quote the URL, which can hold a token.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

NO_ADDRESS = "it is no address"
_OF_ANOTHER_HOST = frozenset({62, 64})  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
# The first that fits counts: most of those above are kinds of one below.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS: no secure connection could be made"),
    (urllib3.exceptions.SSLError, "TLS: no secure connection could be made"),
    (socket.gaierror, "the host name was not found"),
    (ConnectionRefusedError, "connection refused"),
    (TimeoutError, "timed out"),
    (ConnectionError, "connection cut"),
    (OSError, "the network is not reachable"),
    (urllib3.exceptions.ProtocolError, "connection cut, or the answer was not HTTP"),
)


def in_words(error: Exception, connect_seconds: float, read_seconds: float) -> str:
    """Why no answer came: a clause that names neither address nor credentials.

    `error` is what `requests` or `urllib3` raised, the seconds are the limits that the request had.
    """
    if isinstance(error, requests.ConnectTimeout):
        return f"timed out after {connect_seconds:g} s while connecting"
    if isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return f"timed out after {read_seconds:g} s without an answer"
    if isinstance(error, requests.exceptions.InvalidURL):
        return NO_ADDRESS
    # requests' own errors are OSErrors too and would hide what is inside them
    causes = [cause for cause in _causes(error) if not isinstance(cause, requests.RequestException)]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause)
    found = (words for kind, words in _WORDS if any(isinstance(cause, kind) for cause in causes))
    return next(found, f"the request failed ({type(error).__name__})")


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    """Without the name of the host, which OpenSSL gives where the certificate is of another."""
    if getattr(error, "verify_code", 0) in _OF_ANOTHER_HOST:
        return "TLS: the certificate is of another host"
    why = getattr(error, "verify_message", "")  # both are there only if OpenSSL itself refused it
    return "TLS: the certificate is not trusted" + (f" ({why})" if why else "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all inside it: chained, or wrapped in its arguments as urllib3 and requests do."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
