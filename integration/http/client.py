"""The one way out: an HTTP request that is bounded in time and size, follows nothing and remembers nothing.

Neither redirects are followed nor cookies kept, and no variable or file of the machine adds a proxy or
credentials. What the other side does is an answer or a `NoAnswer`, never an exception.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from integration.core.clock import elapsed
from integration.core.errors import shorten
from integration.core.world import world
from integration.http.network import causes, in_words
from integration.http.redacting import redact_text
from integration.http.wire import (
    AddressRefusedError,
    FloodError,
    Meter,
    OverError,
    PlainPool,
    SecurePool,
    metered,
)

CONNECT_SECONDS = 5.0
_HOSTS = 64  # that connections are kept to
_EXCERPT_LENGTH = 200
_CHUNK = 64 * 1024
_FRAMES = 8  # a body in chunks of one byte takes six bytes on the wire for each
_COMMON_HEADERS = {"user-agent": "leadwire", "accept-encoding": "identity"}
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})  # how it is sent is told here

# urllib3 quotes addresses in what it logs, in warnings too, and HubSpot's Leads API has the token in them.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


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
        self._adapter = _Adapter(pool_connections=_HOSTS, pool_maxsize=connections)

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
        return world().outside(self._exchange, method, url, bounds, headers or {}, body, secrets=secrets)

    def _exchange(
        self,
        method: str,
        url: str,
        bounds: Bounds,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        secrets: Sequence[str],
    ) -> Answer | NoAnswer:
        meter = Meter(elapsed() + bounds.seconds, bounds.connect_seconds, self._public_only)
        try:
            self._judge(url)
            request = _prepared(method, url, headers, body)
            with metered(meter), self._adapter.send(request, stream=True) as response:
                meter.allow(_FRAMES * bounds.max_bytes, _too_large(bounds))
                content = _body(response.raw, bounds)
                return Answer(
                    response.status_code, _lower_case(response.raw.headers), content, response.reason, secrets
                )
        except Exception as error:
            if (found := _no_answer(error, bounds)) is None:
                raise
            return found

    def _judge(self, url: str) -> None:
        """Raises ValueError for what is not an address, AddressRefusedError."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or " " in url or not (url.isascii() and url.isprintable()):
            raise ValueError("no address")
        if self._public_only and parts.scheme != "https":
            raise AddressRefusedError("only https:// addresses are called")


class _Adapter(HTTPAdapter):
    """What sends a request in requests: many threads may share one, as urllib3's pools are made for that.

    There is no session. All it adds had to be switched off, and it reads and unpacks the body of a redirect
    that it was told not to follow.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def cert_verify(self, *_args: Any) -> None:
        """Nothing: the connections bring whom they trust. By requests they would read it from a file each."""

    def build_response(self, _request: requests.PreparedRequest, answer: Any) -> requests.Response:
        """No more than is used: no cookies, and no guess at what the body is."""
        response = requests.Response()
        response.raw, response.status_code, response.reason = answer, answer.status, answer.reason
        return response


def _prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> requests.PreparedRequest:
    """The request to send. Raises ValueError for a header that cannot be one."""
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.url = url  # as it is: `prepare_url` takes `..` out of paths, and calls something else then
    request.prepare_headers(_COMMON_HEADERS | {k: v for k, v in headers.items() if k.lower() not in _FRAMING})
    request.prepare_body(body, None)
    if "authorization" not in request.headers:
        request.prepare_auth(None)  # the credentials in the address
    return request


def _lower_case(headers: urllib3.HTTPHeaderDict) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.itermerged()}


def _body(answer: Any, bounds: Bounds) -> bytes:
    """The body as it came. Raises what it is that keeps a whole one from coming."""
    if not (bounds.whole or bounds.max_bytes):
        return b""
    content = bytearray()
    try:
        while len(content) <= bounds.max_bytes and (
            part := _part(answer, bounds.max_bytes + 1 - len(content))
        ):
            content += part
    except urllib3.exceptions.HTTPError:
        if bounds.whole:
            raise
    if bounds.whole and len(content) > bounds.max_bytes:
        raise FloodError(_too_large(bounds))
    return bytes(content[: bounds.max_bytes])


def _part(answer: Any, limit: int) -> bytes:
    """What is there of the body; b"" at its end."""
    part: bytes = answer.read1(min(_CHUNK, limit), decode_content=False)
    return part


def _too_large(bounds: Bounds) -> str:
    return f"the answer is larger than {bounds.max_bytes:,} bytes"


def _no_answer(error: Exception, bounds: Bounds) -> NoAnswer | None:
    """What an error of the exchange means; None for what is a mistake of the program."""
    for cause in causes(error):
        if isinstance(cause, AddressRefusedError):
            return NoAnswer(Why.ADDRESS_REFUSED, str(cause))
        if isinstance(cause, FloodError):
            return NoAnswer(Why.TOO_LARGE, str(cause))
        if isinstance(cause, OverError):
            return NoAnswer(Why.UNREACHABLE, f"no whole answer within {bounds.seconds:g} s")
    if isinstance(error, ValueError) and not _is_of_the_answer(error):
        return NoAnswer(Why.NO_ADDRESS, "it is not an address, or a header cannot hold its value")
    if isinstance(error, (requests.RequestException, urllib3.exceptions.HTTPError, OSError)):
        return NoAnswer(Why.UNREACHABLE, in_words(error))
    return None


def _is_of_the_answer(error: Exception) -> bool:
    """Whether it is a header that came, not one that was to be sent; requests has one name for both."""
    return any(isinstance(cause, urllib3.exceptions.InvalidHeader) for cause in causes(error))
