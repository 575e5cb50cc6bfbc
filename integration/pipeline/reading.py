"""Reading stored requests again: the body, decoded, and what its mapping looks at for each of its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from integration.body import MalformedBody, decode
from integration.config.sources import Source
from integration.core.values import EventContext, RawRequest
from integration.mapping import RequestContext
from integration.store.inbox import ClaimedEvent

MOST_KEPT = 8  # requests whose events are taken a batch at a time; a body of 1 MiB takes some 20 MiB decoded


@dataclass(frozen=True, slots=True)
class _Read:
    """A request as a version of its mapping looks at it."""

    request: RawRequest
    version: str
    context: RequestContext | MalformedBody


class EventReader:
    """Reads events of any requests, each request once. It keeps what it read until `keep_those_with_more`."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._read: dict[str, _Read] = {}
        self._asked: Counter[str] = Counter()

    @property
    def known(self) -> Mapping[str, RawRequest]:
        """The requests that are kept, by id: they need not be got again."""
        return {id: read.request for id, read in self._read.items()}

    def context(self, source: Source, event: ClaimedEvent) -> EventContext | MalformedBody:
        """What `translate` needs to know of the event; why not, if the request's body cannot be read."""
        self._asked[event.request_id] += 1
        read = self._read.get(event.request_id)
        if read is None or read.version != source.mapping.version:
            read = _Read(event.request, source.mapping.version, self._context(source, event.request))
            self._read[event.request_id] = read
        return read.context if isinstance(read.context, MalformedBody) else read.context.event(event.position)

    def keep_those_with_more(self) -> None:
        """After a batch: forget all but the few requests of which there may be events in the next one too."""
        last = [id for id, count in self._asked.most_common(MOST_KEPT) if count > 1]
        self._read = {id: self._read[id] for id in last if id in self._read}
        self._asked.clear()

    def _context(self, source: Source, request: RawRequest) -> RequestContext | MalformedBody:
        mapping = source.mapping
        try:
            payload = decode(request.headers, request.body, self._max_body_bytes, mapping.body)
        except MalformedBody as error:
            return error
        return mapping.request_context(payload, request.headers, request.query, request.received_at)
