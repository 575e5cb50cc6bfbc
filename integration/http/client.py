"""The one way out: an HTTP request that is bounded in time and size, follows nothing and remembers nothing.

Neither redirects are followed nor cookies kept, and no variable or file of the machine adds a proxy or
credentials. What the other side does is an answer or a `NoAnswer`, never an exception.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, InvalidURL
from typing import Any
from urllib.parse import unquote, urlsplit

from integration.core.errors import shorten
from integration.http.network import in_words
from integration.http.redacting import redact_text
from integration.http.wire import (
    AddressRefusedError,
    FloodError,
    Meter,
    OverError,
    Wire,
    connected,
)

CONNECT_SECONDS = 5.0
_EXCERPT_LENGTH = 200
_CHUNK = 64 * 1024
_FRAMES = 8  # a body in chunks of one byte takes six bytes on the wire for each
_COMMON_HEADERS = {"user-agent": "leadwire", "accept-encoding": "identity"}
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})  # how it is sent is told here
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Bounds:
    """`seconds` for the whole exchange, from the connection to the last byte; `max_bytes` of the body.

    `whole`: only an answer whose body is there to its end counts. Without it the status is what matters: a
    body that breaks off, takes too long or is too large ends where it is.
    """

    seconds: float
    max_bytes: int
    whole: bool = True
    connect_seconds: float = CONNECT_SECONDS


class Why(Enum):
    """What kind of trouble it is that there is no answer."""

    NO_ADDRESS = "the address is none, or a header cannot hold its value"
    ADDRESS_REFUSED = "the address may not be called"
    UNREACHABLE = "no whole answer came; it may later"
    TOO_LARGE = "the answer is larger than it may be"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, as it came: `headers` have lower-case names, `body` is not unpacked.

    `text` and `excerpt` are for what is kept or shown: the request's `secrets` are not in them.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    reason: str = ""
    secrets: Sequence[str] = field(default=(), repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is any 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body for people."""
        return redact_text(self.body.decode(errors="replace"), self.secrets)

    @property
    def excerpt(self) -> str:
        """The body for a sentence: on one line, and short; "" if there is none."""
        line = " ".join(self.text.split())
        return shorten(line, _EXCERPT_LENGTH) if line else ""

    def shown(self, value: object) -> str:
        """A value out of the body, for people."""
        return redact_text(str(value), self.secrets)

    @property
    def content(self) -> Any:
        """The body as JSON, as it came; None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is none: its kind, and a clause that names neither address nor credentials.

    What was sent may have arrived all the same.
    """

    why: Why
    words: str


class Client:
    """Makes requests, and keeps up to `connections` of them open to each host. Safe for many threads.

    `public_only` calls https:// and addresses of the public internet only: for addresses that come from
    mappings or from strangers. A name is looked up once, and what was judged is what is called.
    """

    def __init__(self, *, public_only: bool = False, connections: int = 8) -> None:
        self._public_only = public_only
        self._connections = connections
        self._lock = threading.Lock()
        self._idle: dict[_Origin, list[_Line]] = {}
        weakref.finalize(self, _end_all, self._idle)

    def request(
        self,
        method: str,
        url: str,
        bounds: Bounds,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        secrets: Sequence[str] = (),
    ) -> Answer | NoAnswer:
        """Make one request. `secrets` are what must not stand in anything that is shown of the answer."""
        line: _Line | None = None
        try:
            origin, target, login = _parts(url)
            line = self._line(origin, bounds)
            line.connection.request(method, target, body=body, headers=_sent({**login, **(headers or {})}))
            return _answered(line, bounds, secrets)
        except Exception as error:
            if (found := _no_answer(error, bounds)) is None:
                raise
            return found
        finally:
            if line is not None:
                self._give_back(line)

    def _line(self, origin: _Origin, bounds: Bounds) -> _Line:
        """An open connection that waits, or a new one; its time begins now."""
        if self._public_only and origin.scheme != "https":
            raise AddressRefusedError("only https:// addresses are called")
        meter = Meter(time.monotonic() + bounds.seconds)
        while (line := self._taken(origin)) is not None:
            if line.wire.is_idle():
                line.wire.meter, line.is_reusable = meter, False
                return line
            line.wire.end()
        wire = connected(
            origin.host, origin.port, meter,
            tls=origin.scheme == "https", public_only=self._public_only,
            connect_seconds=bounds.connect_seconds,
        )  # fmt: skip
        return _Line(origin, wire, _connection(origin, wire))

    def _taken(self, origin: _Origin) -> _Line | None:
        with self._lock:
            waiting = self._idle.get(origin)
            return waiting.pop() if waiting else None

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            waiting = self._idle.setdefault(line.origin, []) if line.is_reusable else []
            if line.is_reusable and len(waiting) < self._connections:
                waiting.append(line)
                return
        line.wire.end()


@dataclass(frozen=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int


@dataclass(slots=True)
class _Line:
    """A connection to an origin. `is_reusable` once an answer was read to its end, and both sides go on."""

    origin: _Origin
    wire: Wire
    connection: HTTPConnection
    is_reusable: bool = False


def _end_all(idle: dict[_Origin, list[_Line]]) -> None:
    for line in [line for waiting in idle.values() for line in waiting]:
        line.wire.end()


def _parts(url: str) -> tuple[_Origin, str, Mapping[str, str]]:
    """Whom to call, what to ask for, and the credentials that stand in the address. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no address")
    origin = _Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.username is None:
        return origin, target, {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return origin, target, {"Authorization": f"Basic {base64.b64encode(login).decode()}"}


def _sent(headers: Mapping[str, str]) -> Mapping[str, str]:
    names = {name.lower() for name in headers}
    common = {name: value for name, value in _COMMON_HEADERS.items() if name not in names}
    return common | {name: value for name, value in headers.items() if name.lower() not in _FRAMING}


def _connection(origin: _Origin, wire: Wire) -> HTTPConnection:
    connection = HTTPConnection(origin.host, origin.port)
    connection.default_port = _PORTS[origin.scheme]  # the one that the Host header leaves out
    connection.auto_open = 0  # what closes stays closed: only what was judged is called
    connection.sock = wire
    return connection


def _answered(line: _Line, bounds: Bounds, secrets: Sequence[str]) -> Answer:
    """Read the answer to what was sent."""
    response = line.connection.getresponse()
    line.wire.meter.allow(_FRAMES * bounds.max_bytes, _too_large(bounds))
    content, is_whole = _body(response, bounds)
    will_close = response.will_close
    response.close()
    line.is_reusable = is_whole and not will_close
    return Answer(response.status, _lower_case(response), content, response.reason, secrets)


def _lower_case(response: HTTPResponse) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _body(response: HTTPResponse, bounds: Bounds) -> tuple[bytes, bool]:
    """The body, and whether that is all of it. Raises what it is that keeps a whole one from coming."""
    content = bytearray()
    if not (bounds.whole or bounds.max_bytes):
        return b"", False
    try:
        while part := response.read1(min(_CHUNK, bounds.max_bytes + 1 - len(content))):
            content += part
            if len(content) > bounds.max_bytes:
                raise FloodError(_too_large(bounds))
        if response.length:  # `read1` ends without a word where the connection does
            raise IncompleteRead(b"", response.length)
    except (OSError, HTTPException):
        if bounds.whole:
            raise
        return bytes(content[: bounds.max_bytes]), False
    return bytes(content), True


def _too_large(bounds: Bounds) -> str:
    return f"the answer is larger than {bounds.max_bytes:,} bytes"


def _no_answer(error: Exception, bounds: Bounds) -> NoAnswer | None:
    """What an error of the exchange means; None for what is a mistake of the program."""
    if isinstance(error, AddressRefusedError):
        return NoAnswer(Why.ADDRESS_REFUSED, str(error))
    if isinstance(error, FloodError):
        return NoAnswer(Why.TOO_LARGE, str(error))
    if isinstance(error, OverError):
        return NoAnswer(Why.UNREACHABLE, f"no whole answer within {bounds.seconds:g} s")
    if isinstance(error, (ValueError, InvalidURL)) and not isinstance(error, ssl.SSLError):
        return NoAnswer(Why.NO_ADDRESS, "it is no address, or a header cannot hold its value")
    if isinstance(error, (OSError, HTTPException)):
        return NoAnswer(Why.UNREACHABLE, in_words(error))
    return None
