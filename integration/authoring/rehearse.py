"""Rehearse: what a request would do, nothing stored or sent. For `try`, `test` and mapping authors.

The same steps as in earnest, by the same functions: events found and translated, and `lead.advance` with
nothing known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import count
from types import MappingProxyType
from typing import Final

from integration.body import MalformedBody, decode
from integration.config.sources import Configuration, Source
from integration.core.values import (
    Asked,
    Cause,
    EventEnd,
    EventState,
    FetchRequest,
    FieldChange,
    Identifier,
    Ignored,
    IncomingEvent,
    Micros,
    RawRequest,
    SetAside,
    TranslatedEvent,
    Translation,
    Wire,
)
from integration.lead.advance import Advanced, Circumstances, Known, advance
from integration.lead.merge import FieldStates, before, same
from integration.lead.record import BundleTiming, Priority
from integration.mapping import MappingTest
from integration.pipeline.translate import translate_and_validate, with_fetched
from integration.store.inbox import Fetched


@dataclass(frozen=True, slots=True)
class RehearsedEvent:
    """One event of the request, what its mapping makes of it, with the steps that led there, and how it ends.

    `duplicate`: the same request holds it twice; only the first copy counts.
    """

    incoming: IncomingEvent
    translation: Translation
    end: EventEnd
    duplicate: bool = False

    @property
    def dead(self) -> Cause | None:
        """Why it is a dead letter; None if it is not."""
        return self.end.cause if self.end.state is EventState.DEAD else None

    @property
    def asked(self) -> Asked | None:
        """What it asks for, also where that makes it a dead letter; None if for nothing."""
        match self.translation.meaning:
            case Asked() as asked:
                return asked
            case SetAside(asked=asked):
                return asked
            case Ignored() | FetchRequest():
                return None

    @property
    def changes(self) -> tuple[FieldChange, ...]:
        """The fields that it asks to change."""
        return self.asked.changes if self.asked else ()

    @property
    def identifiers(self) -> dict[str, str]:
        """The identifiers of the lead that it asks that of, by kind."""
        return {known.kind: known.value for known in self.asked.identifiers} if self.asked else {}


@dataclass(frozen=True, slots=True)
class RehearsedLead:
    """A lead that the request would update: how it is known, and its state afterwards.

    `would_send` is what the request to HubSpot would hold: `None` blanks a field.
    """

    id: str
    identifiers: tuple[Identifier, ...]
    state: FieldStates
    would_send: Mapping[str, Wire | None]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a request would do: its events, and the leads that they would update."""

    events: tuple[RehearsedEvent, ...]
    leads: tuple[RehearsedLead, ...]


class NotSent(Enum):
    """The type of `NOT_SENT`: the request to HubSpot does not hold the field."""

    NOT_SENT = "not sent"


NOT_SENT: Final = NotSent.NOT_SENT
MaybeSent = Wire | NotSent | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that comes out otherwise than a test expects. `place` is the line of the mapping that sets it,
    "" where none does.
    """

    field: str
    expected: MaybeSent
    actual: MaybeSent
    place: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """How a test of a mapping file ended: `failure` says what went wrong, None when it passed."""

    __test__ = False  # no test of pytest's

    test: MappingTest
    failure: str | None = None
    differences: tuple[Difference, ...] = ()


def rehearse(
    configuration: Configuration,
    source: Source,
    request: RawRequest,
    *,
    max_body_bytes: int,
    lead: FieldStates = MappingProxyType({}),
    position: int | None = None,
    fetched: Fetched | None = None,
) -> Rehearsal:
    """Rehearse `request`, whose signature does not matter; with `position`, only that event of it.

    `fetched` is what the mapping's `fetch:` gets for each of its events; without it, nothing is fetched.
    `lead` is the state before it of each lead that it is about; by default nothing is known of them.
    Raises MalformedBody if its body cannot be read.
    """
    translated = [
        (incoming, event)
        for incoming, event in _events(configuration, source, request, max_body_bytes, fetched)
        if position in (None, incoming.position)
    ]
    first = {event.id: event for _, event in reversed(translated)}
    found = _advanced(
        request.account,
        (event for _, event in translated if first[event.id] is event),
        lead,
        request.received_at,
    )
    ends = {end.id: end for end in found.ends}
    events = tuple(
        RehearsedEvent(incoming, event.translation, ends[event.id], duplicate=first[event.id] is not event)
        for incoming, event in translated
    )
    return Rehearsal(events, tuple(_leads(found)))


def run_test(
    configuration: Configuration,
    source: Source,
    test: MappingTest,
    request: RawRequest,
    *,
    max_body_bytes: int,
    fetched: Fetched | None = None,
) -> TestResult:
    """Run one test of a mapping file; `request` carries the payload that it names, `fetched` its answer."""
    try:
        rehearsal = rehearse(
            configuration,
            source,
            request,
            max_body_bytes=max_body_bytes,
            lead=before(test.lead_before),
            position=test.position,
            fetched=fetched,
        )
    except MalformedBody as error:
        return TestResult(test, f"the payload cannot be read: {error.detail}")
    if not rehearsal.events:
        return TestResult(test, f"the payload has no event at position {test.position}")
    outcome = _outcome(rehearsal.events[0])
    expected = _expected_outcome(test)
    if outcome != expected:
        return TestResult(test, f"expected {expected}, got {_in_words(rehearsal.events[0])}")
    return _compared(test, rehearsal)


def _outcome(event: RehearsedEvent) -> str:
    if event.dead:
        return f"a dead letter ({event.dead.code})"
    match event.translation.meaning:
        case FetchRequest():
            return "nothing before something is fetched"
        case Ignored():
            return "no update"
        case Asked() | SetAside():
            return "an update"


def _expected_outcome(test: MappingTest) -> str:
    if test.expect_dead:
        return f"a dead letter ({test.expect_dead})"
    return "no update" if test.expect_ignored else "an update"


def _in_words(event: RehearsedEvent) -> str:
    if event.dead:
        return f"{_outcome(event)}: {event.dead.detail} {event.dead.cure}"
    match event.translation.meaning:
        case FetchRequest(address=address):
            return f"{_outcome(event)}: give what {address} answers as `fetched: examples/...`"
        case Ignored(reason=reason):
            return f"{_outcome(event)}: {reason}"
        case Asked() | SetAside():
            return f"{_outcome(event)} of {', '.join(change.field for change in event.changes)}"


def _compared(test: MappingTest, rehearsal: Rehearsal) -> TestResult:
    if test.expect is None:
        return TestResult(test)
    lead_id = rehearsal.events[0].end.lead_id
    sent = next(lead.would_send for lead in rehearsal.leads if lead.id == lead_id)
    places = {change.field: change.place for change in rehearsal.events[0].changes}
    differences = tuple(_differences(test.expect, sent, places))
    failure = "the fields that would be sent are others" if differences else None
    return TestResult(test, failure, differences)


def _differences(
    expected: Mapping[str, Wire | None], sent: Mapping[str, Wire | None], places: Mapping[str, str]
) -> Iterator[Difference]:
    for name in dict.fromkeys([*expected, *sent]):
        one, other = expected.get(name, NOT_SENT), sent.get(name, NOT_SENT)
        both = not isinstance(one, NotSent) and not isinstance(other, NotSent)
        if not (both and same(one, other)):  # type: ignore[arg-type]  # both are values here
            yield Difference(name, one, other, places.get(name, ""))


def _events(
    configuration: Configuration,
    source: Source,
    request: RawRequest,
    max_body_bytes: int,
    fetched: Fetched | None,
) -> Iterator[tuple[IncomingEvent, TranslatedEvent]]:
    """The events of the request, translated, each under an id of its own."""
    payload = decode(request.headers, request.body, max_body_bytes, source.mapping.body)
    headers, query, received_at = request.headers, request.query, request.received_at
    whole = source.mapping.request_context(payload, headers, query, received_at)
    mapping = source.mapping
    for event in mapping.incoming(payload, headers, query, received_at):
        context = with_fetched(source, whole.event(event.position), fetched)
        translation = translate_and_validate(configuration, source, context, trace=True)
        yield (
            event,
            TranslatedEvent(
                request.account,
                f"{event.dedup_key}",
                source.name,
                event.dedup_key,
                translation,
                mapping.version,
                mapping.creates_leads,
            ),
        )


def _advanced(account: str, events: Iterable[TranslatedEvent], lead: FieldStates, now: Micros) -> Advanced:
    numbers = count(1)
    at = Circumstances(account, now, BundleTiming(0, 0), Priority.LIVE, lambda: f"lead {next(numbers)}")
    return advance(Known(fields_of_new=lead), list(events), at)


def _leads(found: Advanced) -> Iterator[RehearsedLead]:
    for id, record in found.records.items():
        known = (Identifier(*key) for key, lead_id in found.links.items() if lead_id == id)
        yield RehearsedLead(id, tuple(known), record.fields, record.unsent)
