"""HTTP to HubSpot, the same for all of its APIs: bounded, no redirects, and the token in no text."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from integration.core.errors import shorten
from integration.http.network import NO_ADDRESS, in_words
from integration.http.redacting import redact_http_logs, redact_text

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # a batch of 100 contacts with many long texts stays below it
_EXCERPT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is None when nothing did: then `text` tells the kind of the network error.

    `headers` are looked up without regard to case; `text` is the body, with the token replaced.
    """

    status: int | None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)

    @property
    def excerpt(self) -> str:
        """The body, or the kind of the network error, for a sentence: on one line, and short."""
        if self.status is None:
            return self.text
        return shorten(" ".join(self.text.split()), _EXCERPT_LENGTH) if self.text.strip() else ""

    @property
    def content(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


class Http:
    """Requests to one HubSpot address. Safe to use from several threads at once."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int = 8,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        redact_http_logs()
        self._base_url = base_url.rstrip("/")
        self._timeouts = (connect_seconds, read_seconds)
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._local = threading.local()

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str], secret: str, body: bytes | None = None
    ) -> Answer:
        """Make one request; `secret` is the token that must not stand in the answer's text. Never raises."""
        try:
            with self._session().request(
                method,
                f"{self._base_url}{path}",
                data=body,
                headers={"User-Agent": "leadwire", "Accept-Encoding": "identity", **headers},
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, self._text(response, secret), response.headers)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return Answer(None, _kind(error, self._timeouts))

    def _session(self) -> requests.Session:
        """This thread's session: requests does not promise that several threads may share one."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False  # a .netrc file must not add an Authorization header
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.mount("https://", self._adapter)
            session.mount("http://", self._adapter)
            self._local.session = session
        return session

    def _text(self, response: requests.Response, secret: str) -> str:
        """The answer's body without the token. Reading it all keeps the connection usable."""
        text = _read_bounded(response, time.monotonic() + self._timeouts[1]).decode(errors="replace")
        return redact_text(text, secret)


def _read_bounded(response: requests.Response, deadline: float) -> bytes:
    """At most MAX_ANSWER_BYTES of the body. A body that breaks off is no error: its status has come."""
    content = bytearray()
    try:
        while len(content) < MAX_ANSWER_BYTES and time.monotonic() < deadline:
            part = response.raw.read1(MAX_ANSWER_BYTES, decode_content=False)
            if not part:
                break
            content += part
    except (urllib3.exceptions.HTTPError, OSError):
        response.raw.close()
    return bytes(content[:MAX_ANSWER_BYTES])


def _kind(error: Exception, timeouts: tuple[float, float]) -> str:
    """The kind of a network error in words."""
    words = in_words(error, *timeouts)
    return "HUBSPOT_BASE_URL is no address" if words == NO_ADDRESS else words
