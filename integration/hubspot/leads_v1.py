"""HubSpot's Leads API v1: one PUT per lead.

`PUT {base}/leads/v1/lead/{guid}?access_token=...` with the changed fields and the guid as JSON; says
http://developers.hubspot.com/docs/methods/leads/update_lead (2026-11-23). The token stands in the URL,
so no URL ever gets into an outcome or a log.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote, urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from integration.clock import Clock, now
from integration.errors import shorten
from integration.hubspot.outcomes import classify
from integration.hubspot.redact import redact_http_logs, redact_text
from integration.records import Bundle, Cause, Outcome, Wire

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
MAX_ANSWER_BYTES = 1024 * 1024
_EXCERPT_LENGTH = 200
_READ_HEADERS = {"Accept-Encoding": "identity"}
_HEADERS = {
    "Content-Type": "application/json",  # exactly this; the page warns that otherwise nothing is applied
    "Accept-Encoding": "identity",  # the answer is only ever quoted in an error
    "User-Agent": "leadwire",
}


class LeadsV1:
    """The Leads API v1 as a destination. One HTTP request per bundle, whatever their number."""

    name = "leads-v1"
    id_kind = "guid"
    finds_by: frozenset[str] = frozenset()
    can_create = False  # only by a form that answers no guid: http://developers.hubspot.com/docs/methods/leads/create_lead
    max_batch = 1

    def __init__(
        self,
        *,
        base_url: str,
        access_token: str,
        connections: int = 8,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        clock: Clock = now,
    ) -> None:
        redact_http_logs()
        self._base_url = base_url.rstrip("/")
        self._access_token = access_token
        self._timeouts = (connect_seconds, read_seconds)
        self._clock = clock
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._local = threading.local()

    def request_kind(self, bundle: Bundle) -> str:
        """Reads are GETs, writes are PUTs."""
        return "read" if bundle.reads else "write"

    def is_search(self, request_kind: str) -> bool:
        """Looking a lead up by email is one."""
        return request_kind == "find"

    def send(self, bundles: Sequence[Bundle]) -> list[Outcome]:
        """Send each bundle: one outcome for each, in their order. Never raises for what HubSpot does."""
        return [self._send_one(bundle) for bundle in bundles]

    def _send_one(self, bundle: Bundle) -> Outcome:
        guid = bundle.identifiers.get("guid", "")
        if cause := self._unsendable(guid):
            return Outcome("stop" if cause.code == "token_missing" else "set_aside", cause=cause)
        try:
            with self._request(guid, bundle) as response:
                answer = self._answer(response)
                excerpt = shorten(" ".join(answer.split()), _EXCERPT_LENGTH) if answer.strip() else ""
                outcome = classify(response.status_code, response.headers, excerpt, self._clock())
                return outcome if outcome.kind != "done" else _with_values(outcome, bundle.reads, answer)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return classify(None, CaseInsensitiveDict(), _kind(error, self._timeouts), self._clock())

    def _unsendable(self, guid: str) -> Cause | None:
        if not self._access_token:
            cure = "set HUBSPOT_ACCESS_TOKEN; delivery then resumes"
            return Cause("token_missing", "HUBSPOT_ACCESS_TOKEN is not set", cure)
        if not guid.strip():
            cure = "add `lead.guid` to the mapping, then replay the event"
            return Cause(
                "missing_guid", "the Leads API knows a lead by its guid only, and this has none", cure
            )
        if not guid.isprintable() or guid in (".", ".."):
            cure = "correct `lead.guid` in the mapping, then replay the event"
            return Cause("invalid_guid", f"{shorten(guid)} cannot be the guid of a lead", cure)
        return None

    def _request(self, guid: str, bundle: Bundle) -> requests.Response:
        query = urlencode({"access_token": self._access_token})
        return self._session().request(
            "GET" if bundle.reads else "PUT",
            f"{self._base_url}/leads/v1/lead/{quote(guid, safe='')}?{query}",
            data=None if bundle.reads else _body(guid, bundle),
            headers=_READ_HEADERS if bundle.reads else _HEADERS,
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        )

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

    def _answer(self, response: requests.Response) -> str:
        """The answer's body without the token. Reading it all keeps the connection usable."""
        text = _read_bounded(response, time.monotonic() + self._timeouts[1]).decode(errors="replace")
        return redact_text(text, self._access_token)


def _body(guid: str, bundle: Bundle) -> bytes:
    """The changed fields and the guid; a blank field is "", as the API clears it."""
    fields = {name: "" if value is None else value for name, value in bundle.fields.items()}
    return json.dumps({**fields, "guid": guid}).encode()


def _with_values(outcome: Outcome, reads: Sequence[str], answer: str) -> Outcome:
    """The outcome with the values of the fields that were asked for.

    HubSpot's page shows a list of one lead, its old clients read an object; a field that was never set is
    absent, null, "" or, for times, 0 (http://developers.hubspot.com/docs/methods/leads/get_lead, 2026-11-23).
    """
    if not reads:
        return outcome
    try:
        content = json.loads(answer)
        lead = content[0] if isinstance(content, list) else content
        values = {name: _known_value(name, lead.get(name)) for name in reads}
    except (ValueError, LookupError, AttributeError):
        cure = "nothing to do while it is rare: it is tried again"
        return Outcome(
            "again", outcome.status, Cause("unreadable_answer", "the lead that HubSpot sent is no JSON", cure)
        )
    return replace(outcome, values=values)


def _known_value(name: str, value: object) -> Wire | None:
    never = value == 0 and name.endswith("At")
    return value if isinstance(value, str | int | float | bool) and not never else None


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
    """The kind of a network error in words. Its own text is never used: it quotes the URL with the token."""
    if isinstance(error, requests.ConnectTimeout):
        return f"timed out after {timeouts[0]:g} s while connecting"
    if isinstance(error, requests.ReadTimeout):
        return f"timed out after {timeouts[1]:g} s without an answer"
    if isinstance(error, requests.exceptions.InvalidURL):
        return "HUBSPOT_BASE_URL is no address"
    # requests' own errors are OSErrors too and would hide what is inside them
    causes = [cause for cause in _causes(error) if not isinstance(cause, requests.RequestException)]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: the certificate is not trusted ({cause.verify_message})"
    for kind, words in _KINDS:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return f"the request failed ({type(error).__name__})"


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS: no secure connection could be made"),
    (socket.gaierror, "the host name was not found"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "connection cut"),
    (urllib3.exceptions.ProtocolError, "connection cut, or the answer was not HTTP"),
    (OSError, "the network is not reachable"),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all inside it: chained, or wrapped in its arguments as urllib3 and requests do."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
