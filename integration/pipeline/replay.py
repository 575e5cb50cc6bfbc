"""Replay: stored events are translated again with the mappings as they are now; only what differs is sent.

Phase one replaces what each event asked for and marks its leads; phase two rebuilds the marked leads. Both
go on from what is stored, so a replay may be interrupted anywhere and run beside live traffic: what it left
marked, the workers rebuild. `Replay.plan` takes the same steps and keeps what they find in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import jmespath
from jmespath.exceptions import JMESPathError
from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.config.sources import Source, Sources
from integration.core.clock import Clock, ids_at
from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import Micros, RawRequest, TranslatedEvent
from integration.core.world import world
from integration.lead.advance import Advanced, Circumstances, EndBefore, Known, advance
from integration.lead.planned import Planned, PlannedField
from integration.lead.record import BundleTiming, Priority
from integration.pipeline.handshakes import reply_to
from integration.pipeline.knowing import (
    LinkedMeanwhileError,
    keys_of_events,
    known_to,
    retrying_links,
    seen_of,
    write_advanced,
)
from integration.pipeline.reading import EventReader
from integration.pipeline.rebuild import rebuild_once
from integration.pipeline.translate import set_aside, translate_events, write_ends
from integration.pipeline.verification import Verifier
from integration.store import history, identifiers, inbox, records, updates
from integration.store.engine import Store
from integration.store.history import Selection, StoredEvent
from integration.store.isolation import stored_or_set_aside
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 500
LEADS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay did: events looked at, those of them that `--where` meant and whose source has a usable
    mapping, those that now ask for something else or end another way, and leads that this changes.
    """

    events: int = 0
    matched: int = 0
    changed: int = 0
    leads: int = 0


@dataclass(frozen=True, slots=True)
class ChangedLead:
    """A lead whose next request a replay would change. `id` is None for a lead that does not exist yet."""

    id: str | None
    identifiers: dict[str, str]
    fields: tuple[PlannedField, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do."""

    counts: Counts
    leads: tuple[ChangedLead, ...]


Progress = Callable[[Counts], None]
Where = Callable[[object], bool]


def _payload(source: Source, item: StoredEvent, reader: EventReader) -> object:
    """The event's own part of its request's body; None where that cannot be read."""
    context = reader.context(source, item.event)
    return None if isinstance(context, MalformedBody) else context.payload


def compile_where(expression: str) -> Where:
    """A condition on an event's payload, in JMESPath. Raises LeadwireError that says what is wrong with it.

    It holds where the expression gives anything but null, false and what is empty.
    """
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise LeadwireError(f"--where is not a JMESPath expression: {error}") from error

    def holds(payload: object) -> bool:
        try:
            found = compiled.search(payload)
        except JMESPathError:
            return False
        return found is not None and found is not False and found not in ("", [], {})

    return holds


class Replay:
    """Replays stored events of an account with the mappings as they are when this is made.

    Events of a source without a usable mapping are left as they are. With `fetch_anew`, what was fetched for
    events is forgotten, and workers fetch it again; otherwise it is used as it is.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        sources: Sources,
        clock: Clock,
        verifier: Verifier,
        *,
        max_body_bytes: int,
        fetch_anew: bool = False,
    ) -> None:
        self._store = store
        self._account = account
        self._verifier = verifier
        self._fetch_anew = fetch_anew
        self._configuration = sources.current
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._stop = world().event()

    def stop(self) -> None:
        """Finish the batch in hand and return its counts. May be called from any thread."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def count(self, selection: Selection) -> int:
        """How many events `run` will look at."""
        with self._store.read() as connection:
            return history.count_ended(connection, self._account, selection)

    def run(self, selection: Selection, where: Where | None, progress: Progress) -> Counts:
        """Translate the selected events again, then rebuild the leads that this changes."""
        counts = Counts()
        for looked_at, chosen in self._batches(selection, where):
            changed, marked = self._replace(chosen)
            counts = _add(counts, looked_at, chosen, changed, marked)
            progress(counts)
        while not self.stopped and rebuild_once(self._store, self._account, self._clock):
            progress(counts)
        log_action(
            log, "replay.done", "Replayed", events=counts.events, changed=counts.changed, leads=counts.leads
        )
        return counts

    def plan(self, selection: Selection, where: Where | None, progress: Progress) -> Plan:
        """What `run` would do, as of now. Stores and sends nothing; holds what differs in memory."""
        counts, planned = Counts(), Planned()
        for looked_at, chosen in self._batches(selection, where):
            counts = _add(counts, looked_at, chosen, self._plan(chosen, planned), 0)
            progress(counts)
        leads = tuple(self._changed_leads(planned))
        return Plan(replace(counts, leads=len(leads)), leads)

    def _batches(self, selection: Selection, where: Where | None) -> Iterator[tuple[int, list[StoredEvent]]]:
        """The selected events in batches: how many each had, and those of them that are to be replayed."""
        after_id = ""
        while not self.stopped and (batch := self._next(selection, after_id)):
            after_id = batch[-1].event.id
            yield len(batch), self._chosen(batch, where)

    def _next(self, selection: Selection, after_id: str) -> list[StoredEvent]:
        with self._store.read() as connection:
            return history.ended_after(connection, self._account, selection, after_id, BATCH)

    def _chosen(self, batch: Iterable[StoredEvent], where: Where | None) -> list[StoredEvent]:
        reader = EventReader(self._max_body_bytes)
        chosen = []
        for item in batch:
            source = self._configuration.sources.get(item.event.source)
            if isinstance(source, Source) and (where is None or where(_payload(source, item, reader))):
                chosen.append(item)
        return chosen

    def _decoded(self, source: Source, request: RawRequest) -> object:
        try:
            return decode(request.headers, request.body, self._max_body_bytes, source.mapping.body)
        except MalformedBody as error:
            return error

    def _translated(self, items: Sequence[StoredEvent]) -> list[TranslatedEvent]:
        events = [replace(item.event, fetched=None) if self._fetch_anew else item.event for item in items]
        return translate_events(self._configuration, events, self._max_body_bytes)

    def _replace(self, items: Sequence[StoredEvent]) -> tuple[int, int]:
        """How many of these events now ask for something else, and how many leads are marked for that."""
        ended = {item.event.id: item for item in items}
        replace_them = partial(self._replace_linked, ended)
        done = [part.result for part in stored_or_set_aside(self._translated(items), replace_them, set_aside)]
        return sum(changed for changed, _ in done), sum(marked for _, marked in done)

    def _replace_linked(
        self, ended: Mapping[str, StoredEvent], translated: Sequence[TranslatedEvent]
    ) -> tuple[int, int]:
        return retrying_links(lambda: self._replace_once(ended, translated))

    def _replace_once(
        self, ended: Mapping[str, StoredEvent], translated: Sequence[TranslatedEvent]
    ) -> tuple[int, int]:
        with self._store.write() as connection:
            now = self._clock()
            still = history.lock_ended(connection, [event.id for event in translated])
            events = [event for event in translated if event.id in still]
            known = known_to(connection, self._account, keys_of_events(events))
            known = _with_ends(connection, known, [ended[event.id] for event in events])
            found = self._advanced(known, events, now)
            if found.postponed:
                raise LinkedMeanwhileError
            write_advanced(connection, self._account, found, now)
            write_ends(connection, self._account, events, found, now)
            return len(found.ends), records.mark_for_rebuild(connection, found.to_rebuild)

    def _plan(self, items: Sequence[StoredEvent], planned: Planned) -> int:
        """How many of these events would ask for something else; what they would ask for is kept."""
        if not items:
            return 0
        events = self._translated(items)
        keys = keys_of_events(events)
        with self._store.read() as connection:
            known = planned.over(
                _with_ends(connection, seen_of(connection, self._account, keys), items), keys
            )
        found = self._advanced(known, events, self._clock())
        planned.add(known, found)
        return len(found.ends)

    def _advanced(self, known: Known, events: Sequence[TranslatedEvent], now: Micros) -> Advanced:
        return advance(
            known,
            events,
            Circumstances(self._account, now, BundleTiming(0, 0), Priority.REPLAYED, ids_at(now)),
        )

    def _changed_leads(self, planned: Planned) -> Iterator[ChangedLead]:
        leads = list(planned.leads())
        for start in range(0, len(leads), LEADS_AT_ONCE):
            chunk = leads[start : start + LEADS_AT_ONCE]
            ids = [id for lead in chunk for id in lead.members]
            with self._store.read() as connection:
                stored = records.find(connection, ids)
                asked = updates.of_leads(connection, ids)
                known = identifiers.identifiers_of(connection, ids)
            for lead in chunk:
                there = [stored[id] for id in lead.members if id in stored]
                record = lead.record(self._account, there, self._clock())
                fields = lead.fields(record, chain.from_iterable(asked[id] for id in lead.members))
                if fields:
                    stored_ids = (known[id].items() for id in lead.members)
                    known_by = dict(chain(lead.identifiers.items(), *stored_ids))
                    yield ChangedLead(there[0].id if there else None, known_by, fields)

    def accept_rejected(self, selection: Selection, progress: Progress, *, dry_run: bool = False) -> Counts:
        """Verify rejected requests again, as of their arrival, with the secrets that are set now.

        `events` counts requests here, and `changed` those that are accepted after all (with `dry_run`: that
        would be); the workers then take their events up.
        """
        counts, after_id = Counts(), ""
        while not self.stopped and (batch := self._next_rejected(selection, after_id)):
            after_id = batch[-1][0]
            accepted = sum(self._accept(request_id, request, dry_run) for request_id, request in batch)
            counts = Counts(counts.events + len(batch), counts.events + len(batch), counts.changed + accepted)
            progress(counts)
        return counts

    def count_rejected(self, selection: Selection) -> int:
        """How many requests `accept_rejected` will look at."""
        with self._store.read() as connection:
            return history.count_rejected(connection, self._account, selection)

    def _next_rejected(self, selection: Selection, after_id: str) -> list[tuple[str, RawRequest]]:
        with self._store.read() as connection:
            return history.rejected_after(connection, self._account, selection, after_id, BATCH)

    def _is_event(self, source: Source, request: RawRequest) -> bool:
        """Whether it is genuine, and no handshake: nobody waits for an answer to that any more."""
        verdict = self._verifier.verdict(source, request, request.received_at)
        return verdict.accepted and reply_to(source, request, verified=True) is None

    def _accept(self, request_id: str, request: RawRequest, dry_run: bool) -> bool:  # noqa: FBT001 - private
        source = self._configuration.sources.get(request.source)
        if not isinstance(source, Source) or not self._is_event(source, request):
            return False
        payload = self._decoded(source, request)
        if isinstance(payload, MalformedBody):
            return False
        if dry_run:
            return True
        found = source.mapping.incoming(payload, request.headers, request.query, request.received_at)
        with self._store.write() as connection:
            if not history.mark_accepted(connection, request_id):
                return False
            inbox.add_events(connection, request_id, inbox.Arrival(request, found))
            announce(connection)
        log_action(log, "request.accepted", "Accepted after all", id=request_id, source=source.name)
        return True


def _add(counts: Counts, looked_at: int, chosen: Sequence[StoredEvent], changed: int, marked: int) -> Counts:
    return Counts(
        counts.events + looked_at,
        counts.matched + len(chosen),
        counts.changed + changed,
        counts.leads + marked,
    )


def _with_ends(connection: Connection, known: Known, items: Iterable[StoredEvent]) -> Known:
    """What is known, with how these events ended and what they asked for."""
    ended = {item.event.id: item for item in items}
    asked = updates.of_events(connection, ended.keys())
    before: Mapping[str, EndBefore] = {
        id: EndBefore(item.state, item.cause, item.detail, asked.get(id)) for id, item in ended.items()
    }
    return replace(known, before=before)
