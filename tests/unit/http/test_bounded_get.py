"""One bounded GET: what it gives, and all that it refuses."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.http.bounded import (
    Bounds,
    RefusedAddressError,
    TooLargeError,
    UnreachableError,
    get,
    is_public,
)
from tests.standin import StandIn, standing_in

HERE = Bounds(5, 1000, allow_private=True)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as api:
        yield api


def test_status_headers_and_body_as_they_came(api: StandIn) -> None:
    api.status, api.body = 404, b'{"error": 1}'
    answer = get(f"{api.url}/v1/x%2Fy?a=b", {"X-Key": "k"}, HERE)
    assert (answer.status, answer.body) == (404, b'{"error": 1}')
    assert answer.headers["content-type"] == "application/json"
    path, headers = api.asked[0]
    assert (path, headers["x-key"], headers["accept-encoding"]) == ("/v1/x%2Fy?a=b", "k", "identity")


def test_a_compressed_body_stays_compressed(api: StandIn) -> None:
    api.body = gzip.compress(b"{}")
    api.headers = {"Content-Encoding": "gzip"}
    assert get(api.url, {}, HERE).body == api.body


def test_no_redirect_is_followed(api: StandIn) -> None:
    api.status, api.headers = 302, {"Location": f"{api.url}/elsewhere"}
    assert get(f"{api.url}/here", {}, HERE).status == 302
    assert api.paths == ["/here"]


def test_neither_proxies_nor_netrc_of_the_machine(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert get(api.url, {}, HERE).status == 200


def test_an_answer_that_is_too_large(api: StandIn) -> None:
    api.body = b"x" * 1001
    with pytest.raises(TooLargeError, match="larger than 1,000 bytes"):
        get(api.url, {}, HERE)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
    ],
)
def test_a_private_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(RefusedAddressError, match="is not a public address"):
        get(url, {}, Bounds(5, 1000))


def test_http_is_refused_where_private_addresses_are() -> None:
    with pytest.raises(RefusedAddressError, match="only https:// addresses are called"):
        get("http://example.com/", {}, Bounds(5, 1000))


def test_one_private_address_among_those_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.216.34", "192.168.0.1")
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(RefusedAddressError, match=r"api\.example\.com is not a public address"):
        get("https://api.example.com/", {}, Bounds(5, 1000))


def test_the_connection_goes_to_the_address_that_was_checked(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    port = int(api.url.rpartition(":")[2])

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with monkeypatch.context() as patch:
        patch.setattr("socket.getaddrinfo", resolve)
        patch.setattr("socket.create_connection", _plain)
        get(f"http://api.example.com:{port}/", {}, HERE)
    assert asked == ["api.example.com"]
    assert api.asked[0][1]["host"] == f"api.example.com:{port}"


def _plain(address: tuple[str, int], timeout: float) -> socket.socket:
    """A connection without asking for the name of the address again."""
    connection = socket.socket()
    connection.settimeout(timeout)
    connection.connect(address)
    return connection


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"^connection refused$"):
        get(f"http://127.0.0.1:{port}/secret-path", {}, HERE)


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match=r"^the host name was not found$"):
        get("https://api.example.com/", {}, Bounds(5, 1000))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a certificate for localhost that nobody signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    no_password = serialization.NoEncryption()
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    )
    return file


def test_a_certificate_that_nobody_trusts(certificate: Path) -> None:
    with (
        standing_in(certificate) as api,
        pytest.raises(
            UnreachableError, match=r"^TLS: the certificate is not trusted \(self-signed certificate\)$"
        ),
    ):
        get(api.url, {"Authorization": "Bearer k"}, HERE)
    assert api.asked == []


def test_https_with_a_trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with standing_in(certificate) as api:
        assert get(f"{api.url}/x", {}, HERE).status == 200
        assert api.paths == ["/x"]
        with pytest.raises(UnreachableError, match=r"^TLS: the certificate is of another host$"):
            get(api.url.replace("localhost", "127.0.0.1"), {}, HERE)


@pytest.mark.parametrize("drip", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nx"])
def test_a_server_that_drips_is_cut_off_when_the_time_is_up(drip: bytes) -> None:
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.sendall(drip)
                while not over.wait(0.05):
                    connection.sendall(b"x" if drip else b"")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with pytest.raises(UnreachableError, match=r"^no whole answer within 0\.3 s$"):
            get(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, Bounds(0.3, 1000, allow_private=True))
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("64:ff9b::10.0.0.1", False), ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public
