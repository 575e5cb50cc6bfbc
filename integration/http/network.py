"""What went wrong on the network, in words of our own.

The texts of the libraries are never used: they quote what came, which can hold a token.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

_OF_ANOTHER_HOST = frozenset({62, 64})  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
# The first that fits counts: most of those above are kinds of one below.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS: no secure connection could be made"),
    (socket.gaierror, "the host name was not found"),
    (ConnectionRefusedError, "connection refused"),
    (TimeoutError, "timed out while connecting"),  # all later ones are those of the whole exchange
    (ConnectionError, "connection cut"),
    (OSError, "the network is not reachable"),
    (http.client.IncompleteRead, "connection cut"),
    (http.client.HTTPException, "the answer was not HTTP"),
    (urllib3.exceptions.InvalidHeader, "the answer was not HTTP"),  # of two lengths that differ
)


def in_words(error: Exception) -> str:
    """Why no answer came: a clause that names neither address nor credentials."""
    # requests' own errors are OSErrors too and would hide what is inside them
    found = [cause for cause in causes(error) if not isinstance(cause, requests.RequestException)]
    for cause in found:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause)
    fitting = (words for kind, words in _WORDS if any(isinstance(cause, kind) for cause in found))
    return next(fitting, f"the request failed ({type(error).__name__})")


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all inside it: its cause, or wrapped in its arguments as urllib3 and requests do."""
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop()
        if isinstance(item, BaseException):
            yield item
            waiting += [item.__cause__, getattr(item, "reason", None), *item.args]


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    """Without the name of the host, which OpenSSL gives where the certificate is of another."""
    if getattr(error, "verify_code", 0) in _OF_ANOTHER_HOST:
        return "TLS: the certificate is of another host"
    why = getattr(error, "verify_message", "")  # both are there only if OpenSSL itself refused it
    return "TLS: the certificate is not trusted" + (f" ({why})" if why else "")
