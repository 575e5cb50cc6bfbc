"""Replay: stored events are translated again with the mappings as they are now; only what differs is sent.

Phase one replaces what each event asked for and marks its leads; phase two rebuilds the marked leads. Both
go on from what is stored, so a replay may be interrupted anywhere and run beside live traffic: what it left
marked, the workers rebuild. `Replay.plan` finds the same differences and stores none of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import chain, product

import jmespath
from jmespath.exceptions import JMESPathError
from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.config.sources import Source, Sources
from integration.core.clock import Clock
from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import Cause, Micros, RawRequest, Update
from integration.lead.merge import FieldState, LeadState, from_json, pending, same
from integration.pipeline.handshakes import reply_to
from integration.pipeline.identity import (
    Identified,
    KnownLeads,
    LinkedMeanwhileError,
    assign_leads,
    joined,
    known_leads,
    retrying_links,
)
from integration.pipeline.reading import EventReader
from integration.pipeline.rebuild import refold_once, refolded
from integration.pipeline.translate import (
    Translated,
    awaited,
    contradicted,
    has_update,
    identified,
    resolve_leads,
    set_aside,
    settled_event,
    translate_events,
)
from integration.pipeline.verification import Verifier
from integration.store import fetches, history, identifiers, inbox, lead_rows, updates
from integration.store.engine import Store
from integration.store.history import Selection, SettledEvent
from integration.store.identifiers import SINGLE_KINDS, IdentifierKey
from integration.store.isolation import stored_or_set_aside
from integration.store.lead_rows import LeadRow
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
class PlannedField:
    """A field that HubSpot would get, or (`would_send` False) would no longer get. `before` is its state now,
    `after` the one it would have.
    """

    name: str
    before: FieldState
    after: FieldState
    would_send: bool

    @property
    def cause(self) -> FieldState:
        """The state whose event and mapping line tell where the value that is sent, or was, comes from."""
        return self.after if self.would_send else self.before


@dataclass(frozen=True, slots=True)
class PlannedLead:
    """A lead whose next request a replay would change. `id` is None for a lead that does not exist yet."""

    id: str | None
    identifiers: dict[str, str]
    fields: tuple[PlannedField, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do."""

    counts: Counts
    leads: tuple[PlannedLead, ...]


Progress = Callable[[Counts], None]
Where = Callable[[object], bool]
_Asked = tuple[str, Update]
_Pair = tuple[SettledEvent, Translated]


@dataclass(frozen=True, slots=True)
class _Change:
    """An event that now asks for something else: of which lead what, `before` and `after`; None: nothing."""

    new: Translated
    before: _Asked | None
    after: _Asked | None


@dataclass(slots=True)
class _Draft:
    """A plan under way: per lead what its events would ask for (None: nothing any more), and what would be
    known of leads besides what is stored.
    """

    asked: dict[str, dict[str, Update | None]] = field(default_factory=dict)
    known: KnownLeads = field(default_factory=KnownLeads)


def _payload(source: Source, item: SettledEvent, reader: EventReader) -> object:
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
    """Replays stored events with the mappings as they are when this is made.

    Events of a source without a usable mapping are left as they are. With `fetch_anew`, what was fetched for
    events is forgotten, and workers fetch it again; otherwise it is used as it is.
    """

    def __init__(
        self,
        store: Store,
        sources: Sources,
        clock: Clock,
        verifier: Verifier,
        *,
        max_body_bytes: int,
        fetch_anew: bool = False,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._fetch_anew = fetch_anew
        self._configuration = sources.current
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._stop = threading.Event()

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
            return history.count_settled(connection, selection)

    def run(self, selection: Selection, where: Where | None, progress: Progress) -> Counts:
        """Translate the selected events again, then rebuild the leads that this changes."""
        counts = Counts()
        for looked_at, chosen in self._batches(selection, where):
            changed, marked = self._replace(chosen)
            counts = _add(counts, looked_at, chosen, changed, marked)
            progress(counts)
        while not self.stopped and refold_once(self._store, self._clock):
            progress(counts)
        log_action(
            log, "replay.done", "Replayed", events=counts.events, changed=counts.changed, leads=counts.leads
        )
        return counts

    def plan(self, selection: Selection, where: Where | None, progress: Progress) -> Plan:
        """What `run` would do, as of now. Stores and sends nothing; holds what differs in memory."""
        counts, draft = Counts(), _Draft()
        for looked_at, chosen in self._batches(selection, where):
            changed = self._plan(chosen, draft)
            counts = _add(counts, looked_at, chosen, changed, 0)
            progress(counts)
        planned = tuple(self._planned_leads(draft))
        return Plan(replace(counts, leads=len(planned)), planned)

    def _batches(self, selection: Selection, where: Where | None) -> Iterator[tuple[int, list[SettledEvent]]]:
        """The selected events in batches: how many each had, and those of them that are to be replayed."""
        after_id = ""
        while not self.stopped and (batch := self._next(selection, after_id)):
            after_id = batch[-1].event.id
            yield len(batch), self._chosen(batch, where)

    def _next(self, selection: Selection, after_id: str) -> list[SettledEvent]:
        with self._store.read() as connection:
            return history.settled_after(connection, selection, after_id, BATCH)

    def _chosen(self, batch: Iterable[SettledEvent], where: Where | None) -> list[SettledEvent]:
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

    def _translated(self, items: Sequence[SettledEvent]) -> list[tuple[SettledEvent, Translated]]:
        events = [replace(item.event, fetched=None) if self._fetch_anew else item.event for item in items]
        translated = translate_events(self._configuration, events, self._max_body_bytes)
        return list(zip(items, translated, strict=True))

    def _replace(self, items: Sequence[SettledEvent]) -> tuple[int, int]:
        """How many of these events now ask for something else, and how many leads are marked for that."""
        parts = stored_or_set_aside(self._translated(items), self._replace_linked, _set_aside)
        done = [part.result for part in parts]
        return sum(changed for changed, _ in done), sum(marked for _, marked in done)

    def _replace_linked(self, pairs: Sequence[_Pair]) -> tuple[int, int]:
        return retrying_links(lambda: self._replace_once(pairs))

    def _replace_once(self, pairs: Sequence[_Pair]) -> tuple[int, int]:
        with self._store.write() as connection:
            return _replace_in(connection, pairs, self._clock())

    def _plan(self, items: Sequence[SettledEvent], draft: _Draft) -> int:
        if not items:
            return 0
        pairs = self._translated(items)
        news = [identified(new) for _, new in pairs if has_update(new)]
        with self._store.read() as connection:
            known = _with_draft(known_leads(connection, news), news, draft)
            assigned = assign_leads(news, known, self._clock())
            pairs = [(item, contradicted(new, assigned)) for item, new in pairs]
            before = updates.of_events(connection, [item.event.id for item, _ in pairs])
        changes = _changes(
            pairs,
            {id: (known.survivor(asked[0]), asked[1]) for id, asked in before.items()},
            assigned.lead_ids,
        )
        _draft_links(draft, known, assigned.fresh)
        for change in changes:
            _draft_change(draft, change)
        return len(changes)

    def _planned_leads(self, draft: _Draft) -> Iterator[PlannedLead]:
        drafts = list(_drafted_leads(draft))
        for start in range(0, len(drafts), LEADS_AT_ONCE):
            chunk = drafts[start : start + LEADS_AT_ONCE]
            ids = [id for lead in chunk for id in lead.members]
            with self._store.read() as connection:
                rows = lead_rows.find(connection, ids)
                stored = updates.of_leads(connection, ids)
                known = identifiers.identifiers_of(connection, ids)
            for lead in chunk:
                there = [rows[id] for id in lead.members if id in rows]
                row = reduce(
                    partial(joined, now=self._clock()), there or [LeadRow(lead.members[0], "clean", "{}")]
                )
                fields = _planned_fields(
                    row, chain.from_iterable(stored[id] for id in lead.members), lead.asked
                )
                if fields:
                    known_by = dict(chain(lead.fresh.items(), *(known[id].items() for id in lead.members)))
                    yield PlannedLead(row.id if there else None, known_by, fields)

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
            return history.count_rejected(connection, selection)

    def _next_rejected(self, selection: Selection, after_id: str) -> list[tuple[str, RawRequest]]:
        with self._store.read() as connection:
            return history.rejected_after(connection, selection, after_id, BATCH)

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


def _add(counts: Counts, looked_at: int, chosen: Sequence[SettledEvent], changed: int, marked: int) -> Counts:
    return Counts(
        counts.events + looked_at,
        counts.matched + len(chosen),
        counts.changed + changed,
        counts.leads + marked,
    )


def _set_aside(pair: _Pair, cause: Cause) -> _Pair:
    return pair[0], set_aside(pair[1], cause)


def _replace_in(connection: Connection, pairs: Sequence[_Pair], now: Micros) -> tuple[int, int]:
    settled_now = history.lock_settled(connection, [item.event.id for item, _ in pairs])
    pairs = [pair for pair in pairs if pair[0].event.id in settled_now]
    resolved = resolve_leads(connection, [new for _, new in pairs], now)
    if resolved.postponed:
        raise LinkedMeanwhileError
    pairs = [(item, new) for (item, _), new in zip(pairs, resolved.items, strict=True)]
    before = updates.of_events(connection, [item.event.id for item, _ in pairs])
    changes = _changes(pairs, before, resolved.lead_ids)
    updates.remove(connection, [change.new.event.id for change in changes if change.after is None])
    updates.put(connection, [change.after for change in changes if change.after is not None])
    touched = {asked[0] for change in changes for asked in (change.before, change.after) if asked}
    marked = lead_rows.mark_for_refold(connection, touched)
    settled = [settled_event(change.new, change.after and change.after[0]) for change in changes]
    inbox.settle_events(connection, settled, now)
    fetches.enqueue(connection, awaited([change.new for change in changes]), now)
    return len(changes), marked


def _changes(
    pairs: Sequence[tuple[SettledEvent, Translated]],
    before: Mapping[str, _Asked],
    lead_ids: Mapping[str, str],
) -> list[_Change]:
    """Those of these events that ask for something else than `before`; both by event id."""
    changes = []
    for item, new in pairs:
        after = (lead_ids[new.event.id], new.update) if has_update(new) else None
        change = _Change(new, before.get(new.event.id), after)
        if _differs(item, change):
            changes.append(change)
    return changes


def _differs(item: SettledEvent, change: _Change) -> bool:
    """Whether the event now asks for something else, of another lead, or ends another way."""
    if change.before is None and change.after is None:
        event = settled_event(change.new, None)
        cause = event.cause
        ends = (event.state, cause and cause.code, cause and cause.detail)
        return (item.state, item.cause, item.detail) != ends
    if change.before is None or change.after is None:
        return True
    (old_lead, old), (new_lead, new) = change.before, change.after
    return (old_lead, old.clock, _meaning(old)) != (new_lead, new.clock, _meaning(new))


def _meaning(update: Update) -> dict[str, tuple[str, str]]:
    """What an update asks for: the same wherever it stands in the mapping file.

    So a new comment above all rules changes no event, and each field keeps the file's line and version that
    really set it. By repr: 1 and True are two values, 20 and 20.0 are stored as two.
    """
    return {change.field: (repr(change.value), change.write) for change in update.changes}


def _with_draft(stored: KnownLeads, items: Iterable[Identified], draft: _Draft) -> KnownLeads:
    """What is stored, and what earlier batches of the plan would have added to it."""
    wanted = {(known.kind, known.value) for item in items for known in item.identifiers}
    drafted = {key: id for key in wanted if (id := draft.known.by_identifier.get(key))}
    merged = draft.known.merged  # shared: what turns out now holds for later batches
    known = KnownLeads({**drafted, **stored.by_identifier}, stored.single, set(), merged)
    ids = {known.survivor(id) for id in known.by_identifier.values()}
    drafted_singles = {
        key: draft.known.single[key] for key in product(ids, SINGLE_KINDS) if key in draft.known.single
    }
    known.single.update(drafted_singles)
    return known


def _draft_links(draft: _Draft, known: KnownLeads, fresh: Mapping[IdentifierKey, str]) -> None:
    """Keep for later batches what this one added to what is known."""
    draft.known.by_identifier.update(fresh)
    touched = {*fresh.values(), *draft.known.merged.values()}
    draft.known.single.update({key: value for key, value in known.single.items() if key[0] in touched})


@dataclass(frozen=True, slots=True)
class _DraftedLead:
    """A lead of the plan: the stored ones that it would be made of, what its events would ask for, and the
    identifiers that it would get.
    """

    members: tuple[str, ...]
    asked: dict[str, Update | None]
    fresh: dict[str, str]


def _drafted_leads(draft: _Draft) -> Iterator[_DraftedLead]:
    known = draft.known
    members: dict[str, list[str]] = {}
    for id in sorted({*draft.asked, *known.merged}):
        members.setdefault(known.survivor(id), []).append(id)
    fresh: dict[str, dict[str, str]] = {}
    for (kind, value), id in known.by_identifier.items():
        fresh.setdefault(known.survivor(id), {})[kind] = value
    for survivor, ids in sorted(members.items()):
        asked = dict(chain.from_iterable(draft.asked.get(id, {}).items() for id in ids))
        together = (survivor, *(id for id in ids if id != survivor))
        yield _DraftedLead(together, asked, fresh.get(survivor, {}))


def _draft_change(draft: _Draft, change: _Change) -> None:
    event_id = change.new.event.id
    if change.before is not None:
        draft.asked.setdefault(change.before[0], {})[event_id] = None
    if change.after is not None:
        lead_id, update = change.after
        draft.asked.setdefault(lead_id, {})[event_id] = update


def _planned_fields(
    row: LeadRow, stored: Iterable[Update], asked: dict[str, Update | None]
) -> tuple[PlannedField, ...]:
    """The fields of the lead's next request that would be others, if its events asked for this."""
    now = from_json(row.document)
    kept = [update for update in stored if update.event_id not in asked]
    then = refolded(row, [*kept, *(update for update in asked.values() if update is not None)])
    before, after = pending(now), pending(then)
    return tuple(
        PlannedField(name, _field(now, name), _field(then, name), would_send=name in after)
        for name in sorted({*before, *after})
        if name not in before or name not in after or not same(before[name], after[name])
    )


def _field(state: LeadState, name: str) -> FieldState:
    return state.get(name, FieldState())
