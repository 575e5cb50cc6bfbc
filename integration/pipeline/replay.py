"""Replay: stored events are translated again with the mappings as they are now; only what differs is sent.

Phase one replaces what each event asked for and marks its leads; phase two rebuilds the marked leads. Both
go on from what is stored, so a replay may be interrupted anywhere and run beside live traffic: what it left
marked, the workers rebuild.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jmespath
from jmespath.exceptions import JMESPathError
from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.clock import Clock
from integration.errors import LeadwireError
from integration.logs import log_action
from integration.pipeline.refold import refold_once
from integration.pipeline.sources import Source, Sources
from integration.pipeline.translate import (
    Translated,
    has_update,
    resolve_leads,
    retrying_links,
    settled_event,
    translate_events,
)
from integration.records import Micros, RawRequest, Update
from integration.store import history, inbox, leads, updates
from integration.store.engine import Store
from integration.store.history import Selection, SettledEvent

log = logging.getLogger(__name__)

BATCH = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay did: events looked at, those that now ask for something else, and leads rebuilt."""

    events: int = 0
    changed: int = 0
    leads: int = 0


Progress = Callable[[Counts], None]
Where = Callable[[object], bool]


def compile_where(expression: str) -> Where:
    """A condition on the payload, in JMESPath. Raises LeadwireError that says what is wrong with it."""
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise LeadwireError(f"--where is not a JMESPath expression: {error}") from error

    def holds(payload: object) -> bool:
        try:
            return bool(compiled.search(payload))
        except JMESPathError:
            return False

    return holds


class Replay:
    """Replays stored events."""

    def __init__(self, store: Store, sources: Sources, clock: Clock, *, max_body_bytes: int) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    def count(self, selection: Selection) -> int:
        """How many events `run` will look at."""
        with self._store.read() as connection:
            return history.count_settled(connection, selection)

    def run(self, selection: Selection, where: Where, progress: Progress) -> Counts:
        """Translate the selected events again, then rebuild the leads that this changes."""
        counts, after_id = Counts(), ""
        while batch := self._next(selection, after_id):
            after_id = batch[-1].event.id
            chosen = [item for item in batch if where(self._payload(item.event.request))]
            changed = retrying_links(lambda chosen=chosen: self._replace(chosen)) if chosen else 0  # type: ignore[misc]
            counts = replace(counts, events=counts.events + len(batch), changed=counts.changed + changed)
            progress(counts)
        while rebuilt := refold_once(self._store, self._clock):
            counts = replace(counts, leads=counts.leads + rebuilt)
            progress(counts)
        log_action(
            log, "replay.done", "Replayed", events=counts.events, changed=counts.changed, leads=counts.leads
        )
        return counts

    def _next(self, selection: Selection, after_id: str) -> list[SettledEvent]:
        with self._store.read() as connection:
            return history.settled_after(connection, selection, after_id, BATCH)

    def _payload(self, request: RawRequest) -> object:
        try:
            return decode(request.headers, request.body, self._max_body_bytes)
        except MalformedBody:
            return None

    def _replace(self, items: Sequence[SettledEvent]) -> int:
        events = [item.event for item in items]
        configuration = self._sources.ready_for({event.source for event in events})
        translated = translate_events(configuration, events, self._max_body_bytes)
        pairs = list(zip(items, translated, strict=True))
        with self._store.write() as connection:
            return self._replace_in(connection, pairs, self._clock())

    def _replace_in(
        self, connection: Connection, pairs: Sequence[tuple[SettledEvent, Translated]], now: Micros
    ) -> int:
        settled_now = history.lock_settled(connection, [item.event.id for item, _ in pairs])
        pairs = [pair for pair in pairs if pair[0].event.id in settled_now]
        lead_ids = resolve_leads(connection, [new for _, new in pairs if has_update(new)], now)
        before = updates.of_events(connection, [item.event.id for item, _ in pairs])
        after = {new.event.id: (lead_ids[new.event.id], new.update) for _, new in pairs if has_update(new)}
        changed = [(item, new) for item, new in pairs if _differs(item, new, before, after)]
        ids = [item.event.id for item, _ in changed]
        updates.remove(connection, [id for id in ids if id not in after])
        updates.put(connection, [after[id] for id in ids if id in after])
        touched = {side[id][0] for side in (before, after) for id in ids if id in side}
        leads.mark_for_refold(connection, touched)
        inbox.settle_events(
            connection, [settled_event(new, lead_ids.get(new.event.id)) for _, new in changed], now
        )
        return len(changed)

    def accept_rejected(self, selection: Selection, progress: Progress) -> Counts:
        """Verify rejected requests again, as of their arrival, with the secrets that are set now.

        `changed` counts those that are accepted after all; the workers then take their events up.
        """
        counts, after_id = Counts(), ""
        while batch := self._next_rejected(selection, after_id):
            after_id = batch[-1][0]
            accepted = sum(self._accept(request_id, request) for request_id, request in batch)
            counts = replace(counts, events=counts.events + len(batch), changed=counts.changed + accepted)
            progress(counts)
        return counts

    def count_rejected(self, selection: Selection) -> int:
        """How many requests `accept_rejected` will look at."""
        with self._store.read() as connection:
            return history.count_rejected(connection, selection)

    def _next_rejected(self, selection: Selection, after_id: str) -> list[tuple[str, RawRequest]]:
        with self._store.read() as connection:
            return history.rejected_after(connection, selection, after_id, BATCH)

    def _accept(self, request_id: str, request: RawRequest) -> bool:
        source = self._sources.get(request.source)
        if not isinstance(source, Source):
            return False
        if not source.scheme.verify(request, source.secrets, request.received_at).accepted:
            return False
        payload = self._payload(request)
        if payload is None:
            return False
        found = source.mapping.incoming(payload, request.headers, request.query, request.received_at)
        with self._store.write() as connection:
            if not history.mark_accepted(connection, request_id):
                return False
            inbox.add_events(connection, request_id, inbox.Arrival(request, found))
        log_action(log, "request.accepted", "Accepted after all", id=request_id, source=source.name)
        return True


def _differs(
    item: SettledEvent,
    new: Translated,
    before: dict[str, tuple[str, Update]],
    after: dict[str, tuple[str, Update]],
) -> bool:
    """Whether the event now asks for something else, of another lead, or ends another way."""
    id = item.event.id
    if id in before and id in after:
        (old_lead, old), (new_lead, update) = before[id], after[id]
        return old_lead != new_lead or old.clock != update.clock or old.changes != update.changes
    if id in before or id in after:
        return True
    event = settled_event(new, None)
    cause = event.cause
    return (item.state, item.cause, item.detail) != (
        event.state,
        cause and cause.code,
        cause and cause.detail,
    )
