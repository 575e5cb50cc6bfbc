"""Handshakes: whether a request is one of its source's, and the answer. It is answered, never an event."""

from __future__ import annotations

from integration.body import MalformedBody, decode
from integration.config.sources import Receiver, Source
from integration.core.values import RawRequest
from integration.verify.handshake import Reply, answer

LARGEST_HANDSHAKE = 8192  # bytes: some are parsed before anything is verified


def reply_to(source: Receiver, request: RawRequest, *, verified: bool) -> Reply | None:
    """The reply, among the handshakes that do or do not need verification; None if the request is none."""
    entries = [entry for entry in source.handshake if entry.verified is verified]
    if not entries or len(request.body) > LARGEST_HANDSHAKE:
        return None
    return answer(entries, request, _payload(source, request), source.secrets, source.handshake_secrets)


def _payload(source: Receiver, request: RawRequest) -> object:
    """The small body that a handshake has; None if there is none or it cannot be read."""
    if not request.body:
        return None
    try:
        body = source.mapping.body if isinstance(source, Source) else None
        return decode(request.headers, request.body, LARGEST_HANDSHAKE, body)
    except MalformedBody:
        return None
