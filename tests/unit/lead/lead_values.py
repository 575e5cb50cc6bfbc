"""Updates, events, requests and answers, for the tests of this folder: each made in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from integration.core.values import (
    MICROS_PER_SECOND,
    Attempt,
    Bundle,
    Cause,
    FetchRequest,
    FieldChange,
    Identifier,
    Micros,
    Outcome,
    TranslatedEvent,
    Translation,
    Update,
    Wire,
    WriteRule,
)
from integration.lead.merge import FieldStates, merge
from integration.lead.record import Record, RecordState

SECOND: Micros = MICROS_PER_SECOND
HOUR: Micros = 3600 * SECOND
DAY: Micros = 24 * HOUR
NOW: Micros = 1_800_000_000 * SECOND
PLACE = "mappings/shop/mapping.yaml:9"
CAUSE = Cause("some_cause", "what happened", "what to do")
Key = tuple[str, str]
Fields = Mapping[str, Wire | None]


def ids(word: str = "lead") -> Callable[[], str]:
    """Ids for leads that nobody knew: lead-001, lead-002 ..."""
    numbers = count(1)
    return lambda: f"{word}-{next(numbers):03}"


def changes(fields: Fields, write: WriteRule = "latest") -> tuple[FieldChange, ...]:
    return tuple(FieldChange(name, value, write, PLACE, "paid") for name, value in fields.items())


def update(event: str, at: Micros, write: WriteRule = "latest", **fields: Wire | None) -> Update:
    return Update(event, (at, f"shop/{event}"), changes(fields, write), "version-1")


def fields_of(*updates: Update) -> FieldStates:
    return merge({}, updates)


def record(*updates: Update, state: RecordState = RecordState.LEASED) -> Record:
    """A record of the lead lead-1 with these updates, which is on its way unless said otherwise."""
    return Record("lead-1", state, fields_of(*updates), due_at=NOW, waiting_since=NOW)


# Events that were translated


def asks(
    number: int, keys: Sequence[Key], fields: Fields, *, version: str = "v1", creates: bool = False
) -> TranslatedEvent:
    """The event 01-<number>, which asks to set these fields of the lead of these identifiers."""
    translation = Translation("paid", NOW + number, tuple(Identifier(*key) for key in keys), changes(fields))
    return TranslatedEvent(f"01-{number}", "shop", f"e{number}", translation, version, creates)


def ignored(number: int, why: str = "no rule") -> TranslatedEvent:
    return _event(number, Translation("paid", NOW, ignored=why))


def dead(number: int, cause: Cause = CAUSE) -> TranslatedEvent:
    return _event(number, Translation("paid", NOW, dead=cause))


def fetching(number: int) -> TranslatedEvent:
    return _event(number, Translation("paid", NOW, fetch=FetchRequest("/v1/x", {})))


def _event(number: int, translation: Translation) -> TranslatedEvent:
    return TranslatedEvent(f"01-{number}", "shop", f"e{number}", translation, "v1")


# Requests to HubSpot


def sets(
    fields: Fields,
    identifiers: Mapping[str, str] | None = None,
    events: Sequence[str] = (),
    *,
    creates: bool = False,
) -> Bundle:
    """The request that sets these fields of lead-1."""
    return Bundle(
        "lead-1", {"guid": "g"} if identifiers is None else identifiers, fields, list(events), creates=creates
    )


def reads(names: Sequence[str], identifiers: Mapping[str, str], events: Sequence[str] = ()) -> Bundle:
    """The request that asks what lead-1 has in these fields."""
    return Bundle("lead-1", identifiers, {}, list(events), reads=names)


def finds(
    keys: Sequence[Key], identifiers: Mapping[str, str], events: Sequence[str] = (), *, creates: bool = False
) -> Bundle:
    """The request that asks which lead has one of these identifiers, and may be created if none."""
    found = [Identifier(*key) for key in keys]
    return Bundle("lead-1", identifiers, {}, list(events), finds=found, creates=creates)


def answered(request: Bundle, outcome: Outcome) -> Attempt:
    return Attempt(request, outcome, NOW, 1000)
