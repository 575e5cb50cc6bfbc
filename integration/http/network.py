"""What went wrong on the network, in words of our own.

The texts of the libraries are never used: they quote what came, which can hold a token.
"""

from __future__ import annotations

import http.client
import socket
import ssl

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
)


def in_words(error: Exception) -> str:
    """Why no answer came: a clause that names neither address nor credentials."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    found = (words for kind, words in _WORDS if isinstance(error, kind))
    return next(found, f"the request failed ({type(error).__name__})")


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    """Without the name of the host, which OpenSSL gives where the certificate is of another."""
    if getattr(error, "verify_code", 0) in _OF_ANOTHER_HOST:
        return "TLS: the certificate is of another host"
    why = getattr(error, "verify_message", "")  # both are there only if OpenSSL itself refused it
    return "TLS: the certificate is not trusted" + (f" ({why})" if why else "")
