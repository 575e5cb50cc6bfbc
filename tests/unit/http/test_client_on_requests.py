"""What the library below the one way out would do otherwise, and what it needs of the server it runs in."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from integration.http.client import Answer, Bounds, Client, NoAnswer, Why
from tests.standin import StandIn, standing_in

HERE = Bounds(5, 100_000)


@pytest.fixture
def api() -> Iterator[StandIn]:
    with standing_in() as api:
        yield api


def get(url: str, headers: Mapping[str, str] | None = None) -> Answer | NoAnswer:
    return Client().request("GET", url, HERE, headers=headers)


@pytest.mark.parametrize("location", ["/elsewhere", "http://[", "//x:99999/"])
def test_the_body_of_a_redirect_is_not_unpacked_and_its_address_not_read(api: StandIn, location: str) -> None:
    api.status, api.body = 302, gzip.compress(b"0" * 50_000_000)
    api.headers = {"Location": location, "Content-Encoding": "gzip"}
    answer = get(api.url)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.headers["location"]) == (302, api.body, location)
    assert api.paths == ["/"]


def test_an_answer_of_two_lengths_is_no_mistake_of_the_address(api: StandIn) -> None:
    api.headers = {"Content-Length": "2, 3"}
    assert get(api.url) == NoAnswer(Why.UNREACHABLE, "the answer was not HTTP")


def test_a_header_that_comes_twice_is_joined(api: StandIn) -> None:
    api.headers = {"X-Limit": "a", "x-limit": "b"}
    answer = get(api.url)
    assert isinstance(answer, Answer)
    assert answer.headers["x-limit"] == "a, b"


@pytest.mark.parametrize("path", ["/leads/..", "/leads/../x", "/a//b", "/~x?a=%7E&b=/../"])
def test_a_path_is_sent_as_it_is(api: StandIn, path: str) -> None:
    get(api.url + path)
    assert api.paths == [path]


def test_an_authorization_of_the_caller_counts_more_than_the_credentials_in_the_address(api: StandIn) -> None:
    get(api.url.replace("//", "//user:password@"), {"authorization": "Bearer k"})
    assert api.asked[0][1]["authorization"] == "Bearer k"


def test_a_request_to_nowhere_in_particular_is_refused_by_its_kind() -> None:
    found = Client(public_only=True).request("GET", "nowhere", HERE)
    assert isinstance(found, NoAnswer)
    assert found.why is Why.NO_ADDRESS


GREENLETS = """
from integration.http.client import Bounds, Client
from gevent import monkey
monkey.patch_all()
import gevent, gevent.event, gevent.server

is_cut = gevent.event.Event()

def serve(connection, _):
    if b"never" in connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\\r\\n")
        try:
            while True:
                connection.sendall(b"X: y\\r\\n")
                gevent.sleep(0.01)
        except OSError:
            is_cut.set()
        return
    is_cut.wait()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")

server = gevent.server.StreamServer(("127.0.0.1", 0), serve)
server.start()
client = Client()

def ask(path, seconds):
    return client.request("GET", f"http://127.0.0.1:{server.server_port}/{path}", Bounds(seconds, 100))

asked = [gevent.spawn(ask, "never", 0.3), gevent.spawn(ask, "late", 20)]
gevent.joinall(asked)
never, late = (greenlet.value for greenlet in asked)
print(never.words, late.status)
"""


def test_each_greenlet_has_the_time_of_its_own_request_although_gevent_patches_after_the_import() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GREENLETS],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("no whole answer within 0.3 s 200\n", "")
