"""One connection, and how much of it an exchange may use: its time, and the bytes that may come.

`http.client` reads headers and `100 Continue` for as long as they come. So the bound stands below it, where
bytes are read and written: each step gets the time that is left of the whole, however little comes at once.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import certifi

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
    """What is left of an exchange: until when it may go on, and how many bytes may still come."""

    deadline: float
    room: int = MAX_HEAD_BYTES
    what: str = f"the headers of the answer are larger than {MAX_HEAD_BYTES:,} bytes"
    elapsed: Elapsed = field(default=time.monotonic, repr=False)

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


class Wire:
    """A connected socket as `http.client` uses one, under the meter of the exchange that it serves now."""

    def __init__(self, connection: socket.socket, meter: Meter) -> None:
        self._socket = connection
        self.meter = meter

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises OverError when the time is over, OSError."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self.meter.left())
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                raise OverError from None

    def receive(self, buffer: memoryview) -> int:
        """Read what is there; 0 at the end. Raises OverError, FloodError, OSError."""
        self._socket.settimeout(self.meter.left())
        try:
            count = self._socket.recv_into(buffer)
        except TimeoutError:
            raise OverError from None
        self.meter.took(count)
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` reads an answer from."""
        return io.BufferedReader(_Readable(self))

    def close(self) -> None:
        """Nothing: `http.client` closes a connection under an answer that is still read. See `end`."""

    def end(self) -> None:
        """Close the connection."""
        self._socket.close()

    def is_idle(self) -> bool:
        """Whether the other side neither closed it nor sent anything that nobody asked for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)


class _Readable(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`."""
        return self._wire.receive(memoryview(buffer))


def connected(
    host: str, port: int, meter: Meter, *, tls: bool, public_only: bool, connect_seconds: float
) -> Wire:
    """A connection to the first address of `host` that answers, to the very address that was looked at.

    The system alone bounds how long it looks a name up. Raises AddressRefusedError, OverError, OSError,
    UnicodeError for a host that is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if public_only and not all(is_public(str(address[0])) for *_, address in found):
        raise AddressRefusedError(f"{host} is not a public address")
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            return Wire(_opened(connection, address, host if tls else "", meter, connect_seconds), meter)
        except OSError as error:
            connection.close()
            last = error
            if isinstance(error, (OverError, ssl.SSLError)):
                break
    raise last


def _opened(
    connection: socket.socket, address: Any, tls_host: str, meter: Meter, connect_seconds: float
) -> socket.socket:
    connection.settimeout(min(connect_seconds, meter.left()))
    connection.connect(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls_host:
        return connection
    connection.settimeout(meter.left())  # of the whole handshake
    try:
        return _tls().wrap_socket(connection, server_hostname=tls_host)
    except TimeoutError:
        raise OverError from None


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that certifi trusts, whatever the machine does."""
    return ssl.create_default_context(cafile=certifi.where())
