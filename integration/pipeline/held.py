"""Held requests: taken apart once their mapping is good, as they would have been when they came."""

from __future__ import annotations

import logging

from integration.body import MalformedBody, decode
from integration.config.sources import Source, Sources
from integration.config.versions import digest_of
from integration.core.logs import log_action
from integration.core.values import IncomingEvent, RawRequest
from integration.pipeline.handshakes import reply_to
from integration.store.engine import Store
from integration.store.held_rows import held_sources, next_held, release
from integration.store.inbox import Arrival
from integration.store.wakeup import announce

BATCH = 100
log = logging.getLogger(__name__)


class HeldRequests:
    """Takes held requests apart. Any number may run at once, in any process."""

    def __init__(self, store: Store, account: str, sources: Sources, *, max_body_bytes: int) -> None:
        self._store = store
        self._account = account
        self._sources = sources
        self._max_body_bytes = max_body_bytes

    def step(self) -> int:
        """Take some apart whose mapping is good now; returns how many, 0 when nothing can be done."""
        with self._store.read() as connection:
            waiting = [name for name in held_sources(connection, self._account) if self._is_good(name)]
            held = [
                (source, *item)
                for source in waiting
                for item in next_held(connection, self._account, source, BATCH)
            ]
        return sum(self._take_apart(source, id, request) for source, id, request in held)

    def _is_good(self, name: str) -> bool:
        return isinstance(self._sources.get(name), Source)

    def _take_apart(self, name: str, request_id: str, request: RawRequest) -> bool:
        source = self._sources.get(name)
        if not isinstance(source, Source):
            return False
        found = self._events(source, request)
        with self._store.write() as connection:
            if not release(connection, request_id, Arrival(request, found)):
                return False
            announce(connection)
        log_action(
            log, "request.accepted", "Accepted: its mapping is good", id=request_id, source=name,
            events=len(found),
        )  # fmt: skip
        return True

    def _events(self, source: Source, request: RawRequest) -> tuple[IncomingEvent, ...]:
        """The request's events; what cannot be read is one, and translation says why it is a dead letter."""
        if reply_to(source, request, verified=True) is not None:
            return ()
        mapping = source.mapping
        try:
            payload = decode(request.headers, request.body, self._max_body_bytes, mapping.body)
        except MalformedBody:
            return (IncomingEvent(0, digest_of(request.body), None, None),)
        return mapping.incoming(payload, request.headers, request.query, request.received_at)
