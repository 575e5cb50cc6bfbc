"""POST /hooks/<source>: read the request whole, hand it to the intake, answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from integration.config.sources import Receiver
from integration.core import metrics
from integration.core.clock import Clock, elapsed
from integration.core.errors import StoreUnavailableError
from integration.core.logs import log_action
from integration.core.values import RawRequest, Verdict
from integration.pipeline.accept import Accepted, Intake, RefusedError
from integration.verify.handshake import Reply

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
# Azure's gateway writes the client's port into X-Forwarded-For; an IPv6 address with a port is in brackets.
_PORT = re.compile(r"^(?:\[(?P<v6>[^\]]+)\]|(?P<v4>\d+\.\d+\.\d+\.\d+))(?::\d+)?$")


class _UnreadableBodyError(Exception):
    """The body is too large, or ended before it was complete."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def receive_blueprint(
    intake: Intake, account: str, clock: Clock, *, public_url: str, max_body_bytes: int
) -> Blueprint:
    """The routes of the receiving side, for this account."""
    blueprint = Blueprint("receive", __name__)

    @blueprint.route("/hooks/<name>", methods=["GET", "POST"], provide_automatic_options=False)
    def receive(name: str) -> Response:
        started = elapsed()
        source = intake.source(name)
        if request.method == "HEAD":  # Intercom looks so whether the URL is there, when it is saved
            return Response()
        _require_method(source, request.method)
        try:
            body = read_body(request.environ, max_body_bytes)
        except _UnreadableBodyError as error:
            verdict = Verdict(error.code, error.detail)
            intake.reject(
                source,
                raw_request(account, source, request.environ, b"", clock, public_url=public_url),
                verdict,
            )
            raise RefusedError(error.status, error.code, error.detail) from error
        accepted = _accept(
            intake, source, raw_request(account, source, request.environ, body, clock, public_url=public_url)
        )
        metrics.ACCEPT_SECONDS.observe(elapsed() - started)
        return _answer(accepted)

    return blueprint


def _require_method(source: Receiver, method: str) -> None:
    """Only sources with such a handshake may use another method than POST."""
    if method != "POST" and all(entry.method != method for entry in source.handshake):
        raise MethodNotAllowed(["POST"])


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The whole body, of at most `limit` bytes; never reads more than that."""
    length = environ.get("CONTENT_LENGTH")
    expected = int(length) if length else None
    if expected is not None and expected > limit:
        raise _too_large(limit)
    if expected is None and not environ.get("wsgi.input_terminated"):
        return b""  # a request that does not say how long its body is has none; reading might wait for ever
    stream: BinaryIO = environ["wsgi.input"]
    try:
        body = _read(stream, expected, limit)
    except OSError as error:
        raise _UnreadableBodyError(400, "incomplete_body", "The body could not be read whole.") from error
    if len(body) > limit:
        raise _too_large(limit)
    if expected is not None and len(body) < expected:
        detail = f"Content-Length says {expected} bytes, but the body ended after {len(body)}."
        raise _UnreadableBodyError(400, "incomplete_body", detail)
    return body


def _read(stream: BinaryIO, expected: int | None, limit: int) -> bytes:
    if expected is not None:
        return stream.read(expected)
    body = bytearray()
    while len(body) <= limit and (chunk := stream.read(_CHUNK)):
        body += chunk
    return bytes(body)


def _too_large(limit: int) -> _UnreadableBodyError:
    return _UnreadableBodyError(413, "body_too_large", f"The body is larger than {limit} bytes.")


def raw_request(
    account: str, source: Receiver, environ: Mapping[str, Any], body: bytes, clock: Clock, *, public_url: str
) -> RawRequest:
    """The request as a record, straight from the WSGI environment: it is on the path of every webhook."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    base = public_url or f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
    return RawRequest(
        account,
        source=source.name,
        method=environ["REQUEST_METHOD"],
        url=base + target,
        query=environ.get("QUERY_STRING", ""),
        headers=headers_of(environ),
        body=body,
        received_at=clock(),
        client=client_address(environ.get("REMOTE_ADDR") or ""),
    )


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, by lower-case name."""
    headers = {
        key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    return headers


def client_address(address: str) -> str:
    """The address without a port."""
    match = _PORT.match(address)
    return (match["v6"] or match["v4"]) if match else address


def _accept(intake: Intake, source: Receiver, raw: RawRequest) -> Accepted | Reply:
    try:
        return intake.accept(source, raw)
    except StoreUnavailableError as error:
        log_action(log, "request.not_stored", str(error), logging.ERROR, source=source.name)
        raise


def _answer(accepted: Accepted | Reply) -> Response:
    if isinstance(accepted, Reply):
        headers = {"X-Content-Type-Options": "nosniff", **accepted.headers}
        return Response(accepted.text, headers=headers, content_type=accepted.content_type)
    respond = accepted.response
    if respond is not None:
        return Response(
            str(respond.get("body", "")),
            int(str(respond.get("status", 200))),
            content_type=str(respond.get("content_type", "text/plain")),
        )
    status = "duplicate" if accepted.receipt.duplicate else "accepted"
    return Response(
        f'{{"status": "{status}", "id": "{accepted.receipt.id}"}}', content_type="application/json"
    )
