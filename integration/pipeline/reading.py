"""Reading stored requests again: the body, decoded, and what its mapping looks at for each of its events."""

from __future__ import annotations

from integration.body import MalformedBody, decode
from integration.config.sources import Source
from integration.core.values import EventContext, RawRequest
from integration.mapping import RequestContext
from integration.store.inbox import ClaimedEvent


class EventReader:
    """Reads events of any requests, each request once. It keeps what it read: have one for each batch."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._requests: dict[str, RequestContext | MalformedBody] = {}

    def context(self, source: Source, event: ClaimedEvent) -> EventContext | MalformedBody:
        """What `translate` needs to know of the event; why not, if the request's body cannot be read."""
        read = self._requests.get(event.request_id)
        if read is None:
            read = self._requests[event.request_id] = self._read(source, event.request)
        return read if isinstance(read, MalformedBody) else read.event(event.position)

    def _read(self, source: Source, request: RawRequest) -> RequestContext | MalformedBody:
        mapping = source.mapping
        try:
            payload = decode(request.headers, request.body, self._max_body_bytes, mapping.body)
        except MalformedBody as error:
            return error
        return mapping.request_context(payload, request.headers, request.query, request.received_at)
