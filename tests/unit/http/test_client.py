"""The one way out: what an answer is, and all that is refused or ended, whatever the other side does."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.http import wire
from integration.http.addresses import is_public
from integration.http.client import Answer, Bounds, Client, NoAnswer, Why
from tests.standin import StandIn, standing_in

HERE = Bounds(5, 1000)
SHORT = Bounds(0.3, 1000)
STATUS_COUNTS = Bounds(5, 1000, whole=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Behaviour = Callable[[socket.socket, threading.Event], None]


def get(url: str, bounds: Bounds = HERE, *, public_only: bool = False, **headers: str) -> Answer | NoAnswer:
    return Client(public_only=public_only).request("GET", url, bounds, headers=headers)


def failure(found: Answer | NoAnswer) -> tuple[Why, str]:
    assert isinstance(found, NoAnswer)
    return found.why, found.words


def answered(found: Answer | NoAnswer) -> Answer:
    assert isinstance(found, Answer)
    return found


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as api:
        yield api


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    no_password = serialization.NoEncryption()
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    )
    return file


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same certificate, and the client trusts it."""
    monkeypatch.setattr("certifi.where", lambda: str(certificate))
    wire._tls.cache_clear()
    yield certificate
    wire._tls.cache_clear()


@pytest.fixture(params=["plain", "tls"])
def evil(request: pytest.FixtureRequest) -> Iterator[Callable[[Behaviour], str]]:
    """Starts a server that reads a request and then behaves badly, until the test is over."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        tls_file = request.getfixturevalue("trusted") if request.param == "tls" else None

        def start(behaviour: Behaviour) -> str:
            return stack.enter_context(_serving(behaviour, over, tls_file))

        yield start
        over.set()


@contextmanager
def _serving(behaviour: Behaviour, over: threading.Event, tls_file: Path | None) -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0))
    context = None
    if tls_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls_file)

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.recv(65_536)
                behaviour(connection, over)

    thread = threading.Thread(target=serve)
    thread.start()
    port = server.getsockname()[1]
    yield f"https://localhost:{port}/" if tls_file else f"http://127.0.0.1:{port}/"
    over.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def drips(start: bytes, drop: bytes, every: float = 0.02) -> Behaviour:
    """Sends `start`, and then `drop` again and again."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(every):
            connection.sendall(drop)

    return behave


def says(*parts: bytes) -> Behaviour:
    """Sends this and closes."""

    def behave(connection: socket.socket, _over: threading.Event) -> None:
        for part in parts:
            connection.sendall(part)

    return behave


def floods(start: bytes, part: bytes) -> Behaviour:
    """Sends `part` for as long as somebody reads."""
    return drips(start, part, every=0.0)


# what an answer is


def test_status_headers_and_body_as_they_came(api: StandIn) -> None:
    api.status, api.body = 404, b'{"error": 1}'
    answer = answered(get(f"{api.url}/v1/x%2Fy?a=b", X_Key="k"))
    assert (answer.status, answer.body, answer.content) == (404, b'{"error": 1}', {"error": 1})
    assert answer.headers["content-type"] == "application/json"
    path, headers = api.asked[0]
    assert (path, headers["x_key"], headers["accept-encoding"]) == ("/v1/x%2Fy?a=b", "k", "identity")
    assert headers["user-agent"] == "leadwire"


def test_a_compressed_body_stays_compressed(api: StandIn) -> None:
    api.body = gzip.compress(b"0" * 100_000)
    api.headers = {"Content-Encoding": "gzip"}
    assert answered(get(api.url)).body == api.body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(api: StandIn, status: int) -> None:
    api.status, api.headers = status, {"Location": f"{api.url}/elsewhere"}
    assert answered(get(f"{api.url}/here")).status == status
    assert api.paths == ["/here"]


def test_no_cookie_comes_back(api: StandIn) -> None:
    api.headers = {"Set-Cookie": "a=b; Path=/"}
    client = Client()
    for _ in range(2):
        client.request("GET", api.url, HERE)
    assert ["cookie" in headers for _, headers in api.asked] == [False, False]


def test_neither_proxies_nor_netrc_of_the_machine(
    api: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert answered(get(api.url)).status == 200
    assert "authorization" not in api.asked[0][1]


def test_credentials_in_the_address_go_into_the_header(api: StandIn) -> None:
    get(api.url.replace("//", "//user:p%40ss@"))
    assert api.asked[0][1]["authorization"] == "Basic dXNlcjpwQHNz"


def test_how_long_a_body_is_is_told_by_the_client_alone(api: StandIn) -> None:
    headers = {"content-length": "7", "Transfer-Encoding": "chunked", "x": "y"}
    Client().request("POST", api.url, HERE, headers=headers, body=b"whole")
    assert api.posted == [b"whole"]
    assert "transfer-encoding" not in api.asked[0][1]


def test_nothing_is_logged_of_a_request(api: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    get(f"{api.url}/?access_token=s3cret")
    assert caplog.text == ""


def test_a_secret_is_in_nothing_that_is_shown_and_in_all_that_is_parsed(api: StandIn) -> None:
    api.body = json.dumps({"any": "company", "email": "tiffany@example.com"}).encode()
    answer = answered(Client().request("GET", api.url, HERE, secrets=["any"]))
    assert answer.content == {"any": "company", "email": "tiffany@example.com"}
    assert answer.body == api.body
    assert "any" not in answer.text
    assert "any" not in answer.excerpt
    assert "any" not in repr(answer)
    assert answer.shown("a company") == "a comp[redacted]"


def test_a_connection_is_used_again_by_several_threads(evil: Callable[[Behaviour], str]) -> None:
    def twice(connection: socket.socket, _over: threading.Event) -> None:
        connection.sendall(OK)
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")

    url, client = evil(twice), Client()
    found: list[int] = []
    for _ in range(2):
        thread = threading.Thread(
            target=lambda: found.append(answered(client.request("GET", url, HERE)).status)
        )
        thread.start()
        thread.join()
    assert found == [200, 404]


def test_a_connection_that_was_closed_meanwhile_is_replaced(api: StandIn) -> None:
    client = Client()
    for _ in range(3):  # the stand-in closes after each answer
        assert answered(client.request("GET", api.url, HERE)).status == 200


# what never ends, or never becomes an answer


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(drips(b"", b""), id="says nothing"),
        pytest.param(drips(b"H", b"T"), id="drips the status"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), id="drips headers"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX: ", b"y"), id="drips one header"),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="continues for ever"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nx", b"x"), id="drips the body"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="drips chunks"
        ),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
            id="drips trailers",
        ),
    ],
)
def test_who_drips_is_cut_off_when_the_time_of_the_whole_is_up(
    evil: Callable[[Behaviour], str], behaviour: Behaviour
) -> None:
    assert failure(get(evil(behaviour), SHORT)) == (Why.UNREACHABLE, "no whole answer within 0.3 s")


def test_a_handshake_of_tls_that_never_ends_is_part_of_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert failure(get(url, SHORT)) == (Why.UNREACHABLE, "no whole answer within 0.3 s")


def test_who_takes_no_request_is_cut_off_as_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        found = Client().request("POST", url, SHORT, body=b"x" * 50_000_000)
        assert failure(found) == (Why.UNREACHABLE, "no whole answer within 0.3 s")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(
            floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
            "the headers of the answer are larger than 131,072 bytes",
            id="endless 100 Continue at full speed",
        ),
        pytest.param(
            floods(b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n", b"y" * 65_536),
            "the answer is larger than 1,000 bytes",
            id="a huge body",
        ),
        pytest.param(
            floods(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000 + b"\r\ny\r\n"
            ),
            "the answer is larger than 1,000 bytes",
            id="small chunks with huge extensions",
        ),
        pytest.param(
            floods(b"HTTP/1.1 200 OK\r\n\r\n", gzip.compress(b"0" * 20_000_000)),
            "the answer is larger than 1,000 bytes",
            id="a bomb, which is not unpacked",
        ),
    ],
)
def test_who_floods_is_cut_off(evil: Callable[[Behaviour], str], behaviour: Behaviour, words: str) -> None:
    assert failure(get(evil(behaviour))) == (Why.TOO_LARGE, words)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        pytest.param(says(), "connection cut", id="closes at once"),
        pytest.param(says(b"\x00\x01garbage\r\n\r\n"), "the answer was not HTTP", id="garbage"),
        pytest.param(says(b"HTTP/1.1 abc\r\n\r\n"), "the answer was not HTTP", id="no status"),
        pytest.param(says(b"HTTP/9.9 200 OK\r\n\r\n"), "the answer was not HTTP", id="another version"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), "the answer was not HTTP", id="a long line"
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "the answer was not HTTP", id="too many headers"
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "connection cut", id="half a body"
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"),
            "connection cut",
            id="half a chunk",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "connection cut",
            id="no chunk",
        ),
    ],
)
def test_what_is_no_whole_answer_of_http_is_said(
    evil: Callable[[Behaviour], str], behaviour: Behaviour, words: str
) -> None:
    assert failure(get(evil(behaviour))) == (Why.UNREACHABLE, words)


@pytest.mark.parametrize(
    ("behaviour", "body"),
    [
        pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), b"half", id="breaks off"),
        pytest.param(floods(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65_536), b"y" * 1000, id="too large"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow", b""), b"slow", id="never ends"
        ),
    ],
)
def test_where_the_status_counts_a_body_that_does_not_come_changes_nothing(
    evil: Callable[[Behaviour], str], behaviour: Behaviour, body: bytes
) -> None:
    answer = answered(get(evil(behaviour), Bounds(0.5, 1000, whole=False)))
    assert (answer.status, answer.body) == (200, body)


def test_where_nothing_of_the_body_is_wanted_nothing_is_waited_for(evil: Callable[[Behaviour], str]) -> None:
    url = evil(drips(b"HTTP/1.1 204 OK\r\nContent-Length: 9\r\n\r\n", b""))
    assert answered(get(url, Bounds(600, 0, whole=False))).status == 204


# whom it calls


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/",
        "https://169.254.169.254/",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_before_anything_is_sent(url: str) -> None:
    why, words = failure(get(url, public_only=True))
    assert why is Why.ADDRESS_REFUSED
    assert words.endswith("is not a public address")


def test_http_is_refused_where_private_addresses_are() -> None:
    found = get("http://example.com/", public_only=True)
    assert failure(found) == (Why.ADDRESS_REFUSED, "only https:// addresses are called")


def test_one_private_address_among_those_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.216.34", "192.168.0.1")
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    refused = get("https://api.example.com/", public_only=True)
    assert failure(refused) == (Why.ADDRESS_REFUSED, "api.example.com is not a public address")


def test_the_connection_goes_to_the_address_that_was_checked(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    port = int(api.url.rpartition(":")[2])

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    get(f"http://api.example.com:{port}/")
    assert asked == ["api.example.com"]
    assert api.asked[0][1]["host"] == f"api.example.com:{port}"


def test_an_address_that_does_not_answer_lets_the_next_one(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(api.url.rpartition(":")[2])
    ways = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: ways)
    assert answered(get(f"http://two.example:{port}/")).status == 200


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert failure(get(f"http://127.0.0.1:{port}/secret")) == (Why.UNREACHABLE, "connection refused")


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    found = get("https://api.example.com/", public_only=True)
    assert failure(found) == (Why.UNREACHABLE, "the host name was not found")


@pytest.mark.parametrize(
    "url",
    [
        "http://[/secret", "http://a..b/secret", "http://x:99999/secret", "ftp://x/secret", "secret", "",
        "http://127.0.0.1:1/a b", "http://127.0.0.1:1/\u00e9",
    ],
)  # fmt: skip
def test_what_is_no_address_is_said_without_it(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        why, words = failure(get(url.replace("127.0.0.1:1", f"127.0.0.1:{server.getsockname()[1]}")))
    assert (why, words) == (Why.NO_ADDRESS, "it is not an address, or a header cannot hold its value")


@pytest.mark.parametrize("value", ["two\r\nlines", "\u20ac"])
def test_a_header_that_cannot_be_sent_is_said(api: StandIn, value: str) -> None:
    assert failure(get(api.url, X=value))[0] is Why.NO_ADDRESS
    assert api.asked == []


def test_a_certificate_that_nobody_trusts(certificate: Path) -> None:
    with standing_in(certificate) as api:
        found = get(api.url, Authorization="Bearer k")
        words = "TLS: the certificate is not trusted (self-signed certificate)"
        assert failure(found) == (Why.UNREACHABLE, words)
        assert api.asked == []


def test_https_with_a_trusted_certificate(trusted: Path) -> None:
    with standing_in(trusted) as api:
        assert answered(get(f"{api.url}/x")).status == 200
        assert api.paths == ["/x"]
        found = get(api.url.replace("localhost", "127.0.0.1"))
        assert failure(found) == (Why.UNREACHABLE, "TLS: the certificate is of another host")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("64:ff9b::10.0.0.1", False), ("2002:7f00:1::", False),
        ("64:ff9b::93.184.216.34", True), ("64:ff9b:1::1", False), ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False), ("fec0::1", False), ("192.0.0.192", False), ("168.63.129.16", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public
