"""One bounded request: a time limit for all of it, a size limit, no redirects, no private addresses.

The address is checked after its name is resolved, and the connection is made to the very address that was
checked, so that a name cannot point elsewhere a moment later.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from integration.core.errors import LeadwireError
from integration.http.network import in_words

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_CHUNK = 64 * 1024


class RefusedAddressError(LeadwireError):
    """The address may not be called; trying again does not help."""


class UnreachableError(LeadwireError):
    """No whole answer came; it may later. The message names neither path nor credentials."""


class TooLargeError(LeadwireError):
    """The answer is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`seconds` for the whole exchange, `max_bytes` of the answer's body as it comes over the wire.

    `allow_private` also allows http:// and addresses that are not public: for tests and stand-ins.
    """

    seconds: float
    max_bytes: int
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `headers` has lower-case names, `body` is as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def get(url: str, headers: Mapping[str, str], bounds: Bounds) -> Answer:
    """GET `url` with `headers`. Raises RefusedAddressError, UnreachableError, TooLargeError."""
    return _exchange("GET", url, headers, b"", bounds)


def post(url: str, headers: Mapping[str, str], body: bytes, bounds: Bounds) -> Answer:
    """POST `body` to `url`. Raises as `get` does; what was sent may have arrived all the same."""
    return _exchange("POST", url, headers, body, bounds)


def _exchange(method: str, url: str, headers: Mapping[str, str], body: bytes, bounds: Bounds) -> Answer:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (bounds.allow_private and parts.scheme == "http"):
        raise RefusedAddressError("only https:// addresses are called")
    guard = _Guard(bounds, time.monotonic() + bounds.seconds)
    timer = threading.Timer(bounds.seconds, guard.cut)
    timer.daemon = True
    timer.start()
    try:
        request = requests.Request(method, url, {"Accept-Encoding": "identity", **headers}, data=body or None)
        with _session(guard) as session, _sent(session, request, bounds) as response:
            content = _body(response, bounds.max_bytes)
            return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _named(error, guard) from error
    finally:
        timer.cancel()
        guard.close()


def _named(error: Exception, guard: _Guard) -> LeadwireError:
    """The error in words of our own; what the guard did comes before what the library made of it."""
    if guard.refused:
        return RefusedAddressError(guard.refused)
    if guard.is_over:
        return UnreachableError(f"no whole answer within {guard.bounds.seconds:g} s")
    return UnreachableError(in_words(error, guard.bounds.seconds, guard.bounds.seconds))


def _sent(session: requests.Session, request: requests.Request, bounds: Bounds) -> requests.Response:
    prepared = session.prepare_request(request)
    return session.send(prepared, timeout=bounds.seconds, allow_redirects=False, stream=True)


def _body(response: requests.Response, limit: int) -> bytes:
    content = bytearray()
    while part := response.raw.read(_CHUNK, decode_content=False):
        content += part
        if len(content) > limit:
            raise TooLargeError(f"the answer is larger than {limit:,} bytes")
    return bytes(content)


class _Guard:
    """What one exchange may do: which addresses it may call, and until when."""

    def __init__(self, bounds: Bounds, deadline: float) -> None:
        self.bounds = bounds
        self.refused = ""
        self._deadline = deadline
        self._handles: list[socket.socket] = []

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._deadline

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address of `host` that answers. Raises OSError."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        if not self.bounds.allow_private and not all(is_public(address) for address in addresses):
            self.refused = f"{host} is not a public address"
            raise OSError(self.refused)
        last: OSError = OSError("no address")
        for address in addresses:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                connection = socket.create_connection((address, port), timeout=left)
            except OSError as error:
                last = error
                continue
            # A handle of its own: TLS takes the first one over, and a name may still be shut down by this.
            self._handles.append(connection.dup())
            return connection
        raise last

    def cut(self) -> None:
        """End the exchange now, however slowly the other side drips."""
        for handle in self._handles:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the handles back."""
        for handle in self._handles:
            handle.close()


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it wraps one of version 4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _session(guard: _Guard) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy, and no .netrc that adds an Authorization header
    adapter = _Adapter(guard)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """An adapter whose connections are made by the guard."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*args, **kwargs)
        guard = self._guard

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return guard.connect(self._dns_host, self.port)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return guard.connect(self._dns_host, self.port)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
