"""Network errors in words: what went wrong and where, never the address with what is secret in it."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
import requests
import urllib3

from integration.http.network import in_words

URL = "https://api.example.com/leads?access_token=s3cret"


def untrusted(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "timed out while connecting"),
        (
            untrusted(18, "self-signed certificate"),
            "TLS: the certificate is not trusted (self-signed certificate)",
        ),
        (
            untrusted(62, "it is not valid for 'api.example.com'"),
            "TLS: the certificate is of another host",
        ),
        (untrusted(64, "it is not valid for '10.1.2.3'"), "TLS: the certificate is of another host"),
        (ssl.SSLCertVerificationError(1, URL), "TLS: the certificate is not trusted"),
        (ssl.SSLError(1, "wrong version"), "TLS: no secure connection could be made"),
        (socket.gaierror(-2, "Name not known"), "the host name was not found"),
        (ConnectionRefusedError(111, "refused"), "connection refused"),
        (ConnectionResetError(104, URL), "connection cut"),
        (http.client.RemoteDisconnected("closed without an answer"), "connection cut"),
        (http.client.IncompleteRead(b"", 5), "connection cut"),
        (http.client.BadStatusLine(URL), "the answer was not HTTP"),
        (http.client.LineTooLong("header line"), "the answer was not HTTP"),
        (OSError(errno.ENETUNREACH, "unreachable"), "the network is not reachable"),
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError(URL, ConnectionResetError(104, URL))),
            "connection cut",
        ),
        (
            requests.exceptions.SSLError(urllib3.exceptions.SSLError(untrusted(18, "self-signed"))),
            "TLS: the certificate is not trusted (self-signed)",
        ),
        (requests.exceptions.InvalidHeader(urllib3.exceptions.InvalidHeader(URL)), "the answer was not HTTP"),
        (requests.RequestException(URL), "the request failed (RequestException)"),
        (ValueError(URL), "the request failed (ValueError)"),
    ],
)
def test_what_went_wrong_is_told_and_no_address(error: Exception, words: str) -> None:
    assert in_words(error) == words
