"""Translate: claimed events become updates, validated and merged into their leads' bundles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sqlalchemy import Connection

from integration import metrics
from integration.body import MalformedBody, decode
from integration.clock import Clock, new_id
from integration.errors import LeadwireError
from integration.lead.merge import from_json, merge
from integration.logs import log_action
from integration.pipeline.bundles import BundleTiming, changed
from integration.pipeline.sources import Configuration, Source, Sources
from integration.records import (
    MICROS_PER_SECOND,
    Cause,
    EventContext,
    Micros,
    RawRequest,
    Translation,
    Update,
)
from integration.store import inbox, leads, updates
from integration.store.engine import Store
from integration.store.inbox import ClaimedEvent, SettledEvent
from integration.store.leads import IdentifierKey
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

Result = TypeVar("Result")

BATCH = 200
LEASE_SECONDS = 10
LINK_TRIES = 10


class _LinkedMeanwhileError(LeadwireError):
    """Another worker created the same lead at the same moment; trying again finds it."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A claimed event and what its mapping made of it."""

    event: ClaimedEvent
    translation: Translation
    mapping_version: str

    @property
    def update(self) -> Update:
        """The update that it asks for; only for translations that are neither dead nor ignored."""
        clock = (self.translation.occurred_at or 0, f"{self.event.source}/{self.event.dedup_key}")
        return Update(self.event.id, clock, self.translation.changes, self.mapping_version)


class Translator:
    """Translates what is in the inbox, a batch at a time. Any number of them may run at once."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        clock: Clock,
        timing: BundleTiming,
        *,
        worker: str,
        max_body_bytes: int,
    ) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._timing = timing
        self._worker = worker
        self._max_body_bytes = max_body_bytes

    def run_once(self) -> int:
        """Translate one batch; returns how many events it had, 0 when nothing waits."""
        claimed = self._claim()
        if not claimed:
            return 0
        configuration = self._sources.ready_for({event.source for event in claimed})
        translated = translate_events(configuration, claimed, self._max_body_bytes)
        self._settle(translated)
        return len(claimed)

    def _claim(self) -> list[ClaimedEvent]:
        with self._store.read() as connection:
            if not inbox.anything_received(connection, self._clock()):
                return []
        with self._store.write() as connection:
            now = self._clock()
            return inbox.claim_events(
                connection, self._worker, now, now + LEASE_SECONDS * MICROS_PER_SECOND, BATCH
            )

    def _settle(self, translated: Sequence[Translated]) -> None:
        for item, event in retrying_links(lambda: self._settle_once(translated)):
            _report(item, event)

    def _settle_once(self, translated: Sequence[Translated]) -> list[tuple[Translated, SettledEvent]]:
        with self._store.write() as connection:
            return self._settle_in(connection, translated)

    def _settle_in(
        self, connection: Connection, translated: Sequence[Translated]
    ) -> list[tuple[Translated, SettledEvent]]:
        now = self._clock()
        held = inbox.still_leased(connection, self._worker, [item.event.id for item in translated])
        mine = [item for item in translated if item.event.id in held]
        lead_ids = resolve_leads(connection, [item for item in mine if has_update(item)], now)
        _merge_into_leads(connection, mine, lead_ids, self._timing, now)
        settled = [(item, settled_event(item, lead_ids.get(item.event.id))) for item in mine]
        inbox.settle_events(connection, [event for _, event in settled], now)
        announce(connection)
        return settled


def retrying_links(transaction: Callable[[], Result]) -> Result:
    """Run a transaction that resolves leads; again if another one created the same leads meanwhile."""
    for _ in range(LINK_TRIES):
        try:
            return transaction()
        except _LinkedMeanwhileError:
            continue
    raise LeadwireError("Other workers kept creating the same leads; these events are tried again.")


def translate_events(
    configuration: Configuration, claimed: Iterable[ClaimedEvent], max_body_bytes: int
) -> list[Translated]:
    """Pure: what the mappings, as they are now, make of these events. A request's body is decoded once."""
    decoded: dict[str, object] = {}
    result = []
    for event in claimed:
        source = configuration.sources.get(event.source)
        if not isinstance(source, Source):
            result.append(Translated(event, Translation(dead=_no_mapping(event.source)), ""))
            continue
        if event.request_id not in decoded:
            decoded[event.request_id] = _decode(event.request, max_body_bytes)
        translation = _translate(configuration, source, event, decoded[event.request_id])
        result.append(Translated(event, translation, source.mapping.version))
    return result


def _translate(
    configuration: Configuration, source: Source, event: ClaimedEvent, payload: object
) -> Translation:
    if isinstance(payload, MalformedBody):
        return Translation(dead=Cause("malformed_body", payload.detail, "Ask the sender to send it again."))
    request = event.request
    context = source.mapping.context(
        payload, event.position, request.headers, request.query, request.received_at
    )
    return translate_and_validate(configuration, source, context)


def translate_and_validate(
    configuration: Configuration, source: Source, context: EventContext, *, trace: bool = False
) -> Translation:
    """What the mapping makes of one event; dead if a field of the update is not valid."""
    translation = source.mapping.translate(context, trace=trace)
    if translation.dead is None and translation.ignored is None:
        cause = configuration.catalogue.validate(translation.changes)
        if cause is not None:
            return replace(translation, dead=cause)
    return translation


def _decode(request: RawRequest, limit: int) -> object:
    try:
        return decode(request.headers, request.body, limit)
    except MalformedBody as error:
        return error


def _no_mapping(source: str) -> Cause:
    return Cause(
        "mapping_has_problems",
        f"The mapping of {source} is missing or has problems.",
        "Run `leadwire check`, mend the file, then replay the event.",
    )


def has_update(item: Translated) -> bool:
    """Whether the event asks for a change of a lead."""
    return item.translation.dead is None and item.translation.ignored is None


def resolve_leads(connection: Connection, items: Sequence[Translated], now: Micros) -> dict[str, str]:
    """The lead of each event, by event id. Leads that are not known yet are created, identifiers linked."""
    known = known_leads(connection, items)
    there = set(known.by_identifier.values())
    lead_ids, fresh = assign_leads(items, known, now)
    leads.create(connection, sorted(set(lead_ids.values()) - there), now)
    if not leads.link(connection, fresh):
        raise _LinkedMeanwhileError
    return lead_ids


@dataclass(frozen=True, slots=True)
class KnownLeads:
    """The leads that identifiers are linked to, and the guid of each of them that has one."""

    by_identifier: dict[IdentifierKey, str] = field(default_factory=dict)
    guids: dict[str, str] = field(default_factory=dict)


def known_leads(connection: Connection, items: Iterable[Translated]) -> KnownLeads:
    """Those that identifiers of these events are linked to."""
    wanted = {(i.kind, i.value) for item in items for i in item.translation.identifiers}
    by_identifier = leads.find_by_identifiers(connection, wanted)
    found = leads.identifiers_of(connection, set(by_identifier.values()))
    guids = {lead_id: kinds["guid"] for lead_id, kinds in found.items() if "guid" in kinds}
    return KnownLeads(by_identifier, guids)


def assign_leads(
    items: Iterable[Translated], known: KnownLeads, now: Micros
) -> tuple[dict[str, str], dict[IdentifierKey, str]]:
    """The lead of each event, by event id, and the identifiers that are to be linked; these become `known`.

    The first identifier that is known decides, in the mapping's order; but a lead that has another guid is
    another lead, whatever else they share. An identifier stays with the lead that it was first linked to.
    """
    fresh: dict[IdentifierKey, str] = {}
    lead_ids = {}
    for item in items:
        identifiers = {i.kind: i.value for i in item.translation.identifiers}
        lead_id = _known_lead(identifiers, known.by_identifier, known.guids) or new_id(now)
        lead_ids[item.event.id] = lead_id
        for key in identifiers.items():
            if key not in known.by_identifier:
                known.by_identifier[key] = fresh[key] = lead_id
        if "guid" in identifiers:
            known.guids.setdefault(lead_id, identifiers["guid"])
    return lead_ids, fresh


def _known_lead(
    identifiers: Mapping[str, str], known: Mapping[IdentifierKey, str], guids: Mapping[str, str]
) -> str | None:
    for key in identifiers.items():
        lead_id = known.get(key)
        if lead_id is None:
            continue
        guid = identifiers.get("guid")
        if guid is None or guids.get(lead_id, guid) == guid:
            return lead_id
    return None


def _merge_into_leads(
    connection: Connection,
    items: Sequence[Translated],
    lead_ids: Mapping[str, str],
    timing: BundleTiming,
    now: Micros,
) -> None:
    by_lead: dict[str, list[Update]] = {}
    for item in items:
        if item.event.id in lead_ids:
            by_lead.setdefault(lead_ids[item.event.id], []).append(item.update)
    if not by_lead:
        return
    rows = leads.lock(connection, by_lead.keys())
    updates.put(connection, [(id, update) for id, group in by_lead.items() for update in group])
    merged = [
        changed(rows[id], merge(from_json(rows[id].document), group), timing, now)
        for id, group in by_lead.items()
    ]
    leads.save(connection, merged, now)


def settled_event(item: Translated, lead_id: str | None) -> SettledEvent:
    """How the translation leaves the event."""
    translation = item.translation
    state, cause = "translated", None
    if translation.dead is not None:
        state, cause = "dead", translation.dead
    elif translation.ignored is not None:
        state, cause = "ignored", Cause("ignored", translation.ignored, "")
    return SettledEvent(
        item.event.id, state, translation.type, translation.occurred_at, lead_id, cause, item.mapping_version
    )


def _report(item: Translated, event: SettledEvent) -> None:
    source = item.event.source
    facts = {"id": item.event.request_id, "source": source, "event": event.id, "type": event.type}
    if event.state == "translated":
        metrics.TRANSLATED.labels(source).inc()
        log_action(log, "event.translated", "Translated", lead=event.lead_id, **facts)
        return
    cause = event.cause or Cause("unknown", "", "")
    if event.state == "ignored":
        metrics.IGNORED.labels(source).inc()
        log_action(log, "event.ignored", cause.detail, **facts)
        return
    metrics.DEAD.labels(cause.code).inc()
    log_action(log, "event.dead", cause.detail, logging.ERROR, cause=cause.code, cure=cause.cure, **facts)
