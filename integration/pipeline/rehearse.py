"""Rehearse: what a request would do, nothing stored or sent. For `try`, `test` and mapping authors.

The same steps as in earnest, by the same functions: events found, translated, validated, merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from integration.body import decode
from integration.lead.merge import FieldState, LeadState, before, merge, pending
from integration.pipeline.sources import Configuration, Source
from integration.pipeline.translate import translate_and_validate
from integration.records import Identifier, IncomingEvent, RawRequest, Translation, Update, Wire


@dataclass(frozen=True, slots=True)
class RehearsedEvent:
    """One event of the request and what its mapping makes of it, with the steps that led there.

    `duplicate`: the same request holds it twice; only the first copy counts.
    """

    incoming: IncomingEvent
    translation: Translation
    duplicate: bool = False

    @property
    def has_update(self) -> bool:
        """Whether it changes a lead."""
        return not self.duplicate and self.translation.dead is None and self.translation.ignored is None


@dataclass(frozen=True, slots=True)
class RehearsedLead:
    """A lead that the request would update: how it is known, and its fields afterwards.

    `would_send` is what the request to HubSpot would hold: `None` blanks a field.
    """

    identifiers: tuple[Identifier, ...]
    fields: Mapping[str, FieldState]
    would_send: Mapping[str, Wire | None]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a request would do: its events, and the leads that they would update."""

    events: tuple[RehearsedEvent, ...]
    leads: tuple[RehearsedLead, ...]


def rehearse(
    configuration: Configuration,
    source: Source,
    request: RawRequest,
    *,
    max_body_bytes: int,
    lead_before: Mapping[str, Wire] | None = None,
) -> Rehearsal:
    """Rehearse `request`, whose signature does not matter.

    `lead_before` is what HubSpot has of each lead that it is about; by default nothing is known of them.
    Raises MalformedBody if its body cannot be read.
    """
    payload = decode(request.headers, request.body, max_body_bytes)
    incoming = source.mapping.incoming(payload, request.headers, request.query, request.received_at)
    seen: set[str] = set()
    events = []
    for event in incoming:
        context = source.mapping.context(
            payload, event.position, request.headers, request.query, request.received_at
        )
        translation = translate_and_validate(configuration, source, context, trace=True)
        events.append(RehearsedEvent(event, translation, duplicate=event.dedup_key in seen))
        seen.add(event.dedup_key)
    state = before(lead_before or {})
    groups = _by_lead([event for event in events if event.has_update])
    return Rehearsal(tuple(events), tuple(_lead(source, group, state) for group in groups))


def _by_lead(events: Iterable[RehearsedEvent]) -> list[list[RehearsedEvent]]:
    """Events of the same lead together: by the first identifier that an earlier event had too."""
    owners: dict[Identifier, list[RehearsedEvent]] = {}
    groups: list[list[RehearsedEvent]] = []
    for event in events:
        identifiers = event.translation.identifiers
        group = next((owners[known] for known in identifiers if known in owners), None)
        if group is None:
            group = []
            groups.append(group)
        group.append(event)
        for identifier in identifiers:
            owners.setdefault(identifier, group)
    return groups


def _lead(source: Source, events: list[RehearsedEvent], state: LeadState) -> RehearsedLead:
    identifiers = dict.fromkeys(known for event in events for known in event.translation.identifiers)
    merged = merge(state, [_update(source, event) for event in events])
    return RehearsedLead(tuple(identifiers), merged, pending(merged))


def _update(source: Source, event: RehearsedEvent) -> Update:
    key = event.incoming.dedup_key
    clock = (event.translation.occurred_at or 0, f"{source.name}/{key}")
    return Update(key, clock, event.translation.changes, source.mapping.version)
