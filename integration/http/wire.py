"""What an exchange may use: its time, the bytes that may come, and whom it may call.

requests and urllib3 bound each read, and read headers and `100 Continue` for as long as they come. So the
bound stands below them, where names are looked up and bytes are read and written: each step gets the time
that is left of the whole, however little comes at once.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from integration.core.clock import elapsed
from integration.core.errors import LeadwireError
from integration.http.addresses import is_public

MAX_HEAD_BYTES = 128 * 1024  # of an answer before its body, all its `100 Continue` included
Elapsed = Callable[[], float]


class OverError(OSError):
    """The time of the exchange is over."""


class FloodError(OSError):
    """More bytes came than the exchange may take."""


class AddressRefusedError(LeadwireError):
    """The host has an address that may not be called; the message names the host."""


@dataclass(slots=True)
class Meter:
    """What is left of an exchange: until when it may go on, and how many bytes may still come.

    A new connection gets `connect_seconds` for each address; `public_only` says which ones may be called.
    """

    deadline: float
    connect_seconds: float
    public_only: bool
    room: int = MAX_HEAD_BYTES
    what: str = f"the headers of the answer are larger than {MAX_HEAD_BYTES:,} bytes"
    elapsed: Elapsed = field(default=elapsed, repr=False)

    def allow(self, more: int, what: str) -> None:
        """So many more bytes may come; `what` says what it means if there are more."""
        self.room += more
        self.what = what

    def left(self) -> float:
        """The seconds that are left. Raises OverError if there are none."""
        seconds = self.deadline - self.elapsed()
        if seconds <= 0:
            raise OverError
        return seconds

    def took(self, count: int) -> None:
        """So many bytes came. Raises FloodError if they are too many."""
        self.room -= count
        if self.room < 0:
            raise FloodError(self.what)


# Connections serve many exchanges, so they ask for the meter of the one that runs here. Each thread has its
# own context, and so has each greenlet, also where gevent patches modules that were imported before.
_meter: ContextVar[Meter] = ContextVar("_meter")


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """What is called inside is under this meter."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


class Wire:
    """A connected socket as urllib3 uses one, under the meter of the exchange that runs now."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.fileno = connection.fileno
        self.close = connection.close

    def settimeout(self, _seconds: float | None) -> None:
        """Nothing: the meter says how much time a step has."""

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises OverError when the time is over, OSError."""
        meter = _meter.get()
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(meter.left())
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                raise OverError from None

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What an answer is read from. The socket stays open until this is closed too."""
        return io.BufferedReader(_Readable(self._socket, self._socket.makefile("rb", buffering=0)))


class _Readable(io.RawIOBase):
    def __init__(self, connection: socket.socket, file: socket.SocketIO) -> None:
        self._socket = connection
        self._file = file

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there; 0 at the end. Raises OverError, FloodError, OSError."""
        meter = _meter.get()
        self._socket.settimeout(meter.left())
        try:
            count = self._file.readinto(buffer) or 0
        except TimeoutError:
            raise OverError from None
        meter.took(count)
        return count

    def close(self) -> None:
        """See `io.IOBase.close`."""
        self._file.close()
        super().close()


class PlainConnection(HTTPConnection):
    """A connection of http:// under the meter."""

    def _new_conn(self) -> socket.socket:
        return _connected(self, self._dns_host, self.port)

    def connect(self) -> None:
        """See `HTTPConnection.connect`."""
        super().connect()
        self.sock = _metered_socket(self.sock)


class SecureConnection(HTTPSConnection):
    """A connection of https:// under the meter."""

    def _new_conn(self) -> socket.socket:
        return _connected(self, self._dns_host, self.port)

    def connect(self) -> None:
        """See `HTTPSConnection.connect`. Raises OverError where the time is over before TLS is there."""
        self.ssl_context = _tls()
        try:
            super().connect()
        except TimeoutError:
            raise OverError from None
        self.sock = _metered_socket(self.sock)


class PlainPool(HTTPConnectionPool):
    """The connections to a host of http://."""

    ConnectionCls = PlainConnection


class SecurePool(HTTPSConnectionPool):
    """The connections to a host of https://."""

    ConnectionCls = SecureConnection


def _metered_socket(connection: socket.socket | None) -> socket.socket:
    return cast("socket.socket", Wire(cast("socket.socket", connection)))


def _connected(asking: HTTPConnection, host: str, port: int) -> socket.socket:
    """A socket that is connected to `host`; what is left of the time is its timeout, for TLS.

    Raises NewConnectionError with its cause, AddressRefusedError, UnicodeError for a host that is none.
    """
    meter = _meter.get()
    try:
        connection = _to_first_that_answers(_looked_up(host, port, meter), meter)
        connection.settimeout(meter.left())
    except OSError as error:
        raise NewConnectionError(asking, "no connection") from error
    return connection


def _looked_up(host: str, port: int, meter: Meter) -> list[Any]:
    """What `host` is, looked up once and judged. The system alone bounds how long it looks a name up."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if meter.public_only and not all(is_public(str(address[0])) for *_, address in found):
        raise AddressRefusedError(f"{host} is not a public address")
    return found


def _to_first_that_answers(found: list[Any], meter: Meter) -> socket.socket:
    """A connection to the very address that was judged."""
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(min(meter.connect_seconds, meter.left()))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    raise last


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that certifi trusts, whatever the machine does. Read once: it takes milliseconds."""
    return ssl.create_default_context(cafile=certifi.where())
