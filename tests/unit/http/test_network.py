"""Network errors in words: what went wrong and where, never the address with what is secret in it."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
import requests
from urllib3 import exceptions as pool

from integration.http.network import in_words

URL = "https://api.example.com/leads?access_token=s3cret"


def untrusted(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_code, error.verify_message = code, message
    return error


def through_requests(inner: BaseException) -> requests.RequestException:
    """As `requests` hands over what happened below it: in the reason of an error in its arguments."""
    retried = pool.MaxRetryError(None, URL, inner if isinstance(inner, Exception) else None)  # type: ignore[arg-type]
    return requests.ConnectionError(retried)


def chained(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectTimeout(URL), "timed out after 3 s while connecting"),
        (requests.ReadTimeout(URL), "timed out after 20 s without an answer"),
        (pool.ReadTimeoutError(None, URL, URL), "timed out after 20 s without an answer"),  # type: ignore[arg-type]
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "timed out"),
        (requests.exceptions.InvalidURL(URL), "it is no address"),
        (
            through_requests(pool.SSLError(untrusted(18, "self-signed certificate"))),
            "TLS: the certificate is not trusted (self-signed certificate)",
        ),
        (
            through_requests(pool.SSLError(untrusted(62, "it is not valid for 'api.example.com'"))),
            "TLS: the certificate is of another host",
        ),
        (
            through_requests(pool.SSLError(untrusted(64, "it is not valid for '10.1.2.3'"))),
            "TLS: the certificate is of another host",
        ),
        (ssl.SSLCertVerificationError(1, URL), "TLS: the certificate is not trusted"),
        (
            through_requests(pool.SSLError(ssl.SSLError(1, "wrong version"))),
            "TLS: no secure connection could be made",
        ),
        (requests.exceptions.SSLError(pool.SSLError(URL)), "TLS: no secure connection could be made"),
        (through_requests(socket.gaierror(-2, "Name not known")), "the host name was not found"),
        (through_requests(ConnectionRefusedError(111, "refused")), "connection refused"),
        (requests.ConnectionError(pool.ProtocolError(URL, ConnectionResetError(104, URL))), "connection cut"),
        (
            chained(pool.ProtocolError(URL), http.client.RemoteDisconnected("closed without an answer")),
            "connection cut",
        ),
        (
            requests.ConnectionError(pool.ProtocolError(URL, http.client.BadStatusLine(URL))),
            "connection cut, or the answer was not HTTP",
        ),
        (
            requests.ConnectionError(pool.ProtocolError(URL, OSError(errno.ENETUNREACH, "unreachable"))),
            "the network is not reachable",
        ),
        (requests.exceptions.ContentDecodingError(URL), "the request failed (ContentDecodingError)"),
        (ValueError(URL), "the request failed (ValueError)"),
    ],
)
def test_the_innermost_cause_is_told_and_no_address(error: Exception, words: str) -> None:
    assert in_words(error, 3, 20) == words


def test_errors_that_hold_each_other_end() -> None:
    one, other = ValueError(URL), ConnectionResetError(104, URL)
    one.__context__, other.__context__ = other, one

    assert in_words(one, 3, 20) == "connection cut"
