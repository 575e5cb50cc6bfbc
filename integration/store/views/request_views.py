"""Requests as people look at them: those that were rejected, newest first, and one of any kind whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from integration.body import MalformedBody, decode
from integration.core.clock import first_id_at
from integration.core.values import Micros
from integration.store.tables import requests
from integration.store.views.columns import Block, Column, Facts, Fit, Kind, Section, View, facts_of


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A rejected request in a listing: `reason` is a stable word, `detail` a sentence."""

    id: str
    source: str
    received_at: Micros
    client: str
    reason: str
    detail: str
    account: str


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as stored: credentials are digests. `body` is None once pruned; `held` until its mapping is
    good.
    """

    id: str
    source: str
    received_at: Micros
    reason: str | None
    detail: str | None
    client: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    body_size: int
    account: str
    held: bool = False


REJECTED: View[RejectedLine] = View(
    "requests",
    (
        Column("id", "id", lambda line: line.id, fit=Fit.ROW),
        Column("received_at", "received", lambda line: line.received_at, kind=Kind.TIME, fit=Fit.ROW),
        Column("source", "source", lambda line: line.source, fit=Fit.ROW),
        Column("reason", "reason", lambda line: line.reason),
        Column("client", "from", lambda line: line.client),
        Column("detail", "detail", lambda line: line.detail),
        Column("account", "", lambda line: line.account),
    ),
)

_REQUEST: View[StoredRequest] = View(
    "request",
    (
        Column("id", "", lambda request: request.id),
        Column("source", "source", lambda request: request.source),
        Column("received_at", "received", lambda request: request.received_at, kind=Kind.TIME),
        Column("client", "from", lambda request: request.client),
        Column("method", "", lambda request: request.method),
        Column("url", "", lambda request: request.url),
        Column("", "request", lambda request: f"{request.method} {request.url}"),
        Column("headers", "", lambda request: dict(request.headers)),
        Column("body_size", "", lambda request: request.body_size),
        Column("account", "", lambda request: request.account),
        Column(
            "rejected", "rejected",
            lambda request: {"reason": request.reason, "detail": request.detail} if request.reason else None,
            lambda request: f"{request.reason}: {request.detail}" if request.reason else "",
        ),
    ),
)  # fmt: skip


def list_rejected(
    connection: Connection,
    account: str,
    *,
    limit: int,
    before: str | None = None,
    source: str | None = None,
    reason: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
) -> list[RejectedLine]:
    """The newest rejected requests older than the id `before`, that arrived from `since` to before `until`.

    By `requests_rejected`, or `requests_rejected_by_id` for those of all sources: both hold at most
    REJECTED_KEEP of each source.
    """
    id = requests.c.id
    columns = (id, requests.c.source, requests.c.received_at, requests.c.client)
    conditions = [
        requests.c.reason.is_not(None),
        requests.c.account == account,
        *([id < before] if before is not None else []),
        *([id >= first_id_at(since)] if since is not None else []),
        *([id < first_id_at(until)] if until is not None else []),
        *([requests.c.source == source] if source is not None else []),
        *([requests.c.reason == reason] if reason is not None else []),
    ]
    query = select(*columns, requests.c.reason, requests.c.detail).where(*conditions)
    return [
        RejectedLine(row.id, row.source, row.received_at, row.client, row.reason, row.detail or "", account)
        for row in connection.execute(query.order_by(id.desc()).limit(limit))
    ]


def find_request(connection: Connection, account: str, id: str) -> StoredRequest | None:
    """The account's request with this id; None if it has none."""
    query = select(requests).where(requests.c.id == id, requests.c.account == account)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return StoredRequest(**{**row, "headers": json.loads(row["headers"]), "held": bool(row["held"])})


def request_sections(request: StoredRequest, body: object) -> tuple[Section, ...]:
    """A request for people; `body` is what `request_as_json` has of it."""
    return (
        Facts(f"Request {request.id}", _REQUEST, request),
        facts_of("Headers", request.headers),
        Block(f"Body ({request.body_size} bytes)", body_text(body)),
    )


def request_as_json(request: StoredRequest, body: object) -> dict[str, Any]:
    """A request for programs."""
    return {**_REQUEST.as_json(request), "body": body}


def readable(headers: Mapping[str, str], body: bytes | None, limit: int) -> object:
    """A body of up to `limit` bytes decoded, or as text where it cannot be; None where it is not kept."""
    if body is None:
        return None
    try:
        return decode(headers, body, limit)
    except MalformedBody:
        return body.decode(errors="backslashreplace")


def body_text(body: object) -> str:
    """A body, as `readable` gives it, for people."""
    if body is None:
        return "It is not kept."
    return body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
