"""Updates, events, requests and answers, for the tests of this folder: each made in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from integration.core.values import (
    MAIN_ACCOUNT,
    MICROS_PER_SECOND,
    Asked,
    Attempt,
    Cause,
    Create,
    FetchRequest,
    FieldChange,
    Find,
    Identifier,
    Ignored,
    Meaning,
    Micros,
    Operation,
    Outcome,
    Read,
    SetAside,
    TranslatedEvent,
    Translation,
    Update,
    Wire,
    Write,
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
    return Record(MAIN_ACCOUNT, "lead-1", state, fields_of(*updates), due_at=NOW, waiting_since=NOW)


# Events that were translated


def asks(
    number: int, keys: Sequence[Key], fields: Fields, *, version: str = "v1", creates: bool = False
) -> TranslatedEvent:
    """The event 01-<number>, which asks to set these fields of the lead of these identifiers."""
    asked = Asked(tuple(Identifier(*key) for key in keys), changes(fields))
    return TranslatedEvent(
        MAIN_ACCOUNT,
        f"01-{number}",
        "shop",
        f"e{number}",
        Translation("paid", NOW + number, asked),
        version,
        creates,
    )


def keys_of(event: TranslatedEvent) -> list[Key]:
    """The identifiers of the lead that an event asks for."""
    meaning = event.translation.meaning
    return [(item.kind, item.value) for item in meaning.identifiers] if isinstance(meaning, Asked) else []


def ignored(number: int, why: str = "no rule") -> TranslatedEvent:
    return _event(number, Ignored(why))


def dead(number: int, cause: Cause = CAUSE) -> TranslatedEvent:
    return _event(number, SetAside(cause))


def fetching(number: int) -> TranslatedEvent:
    return _event(number, FetchRequest("/v1/x", {}))


def _event(number: int, meaning: Meaning) -> TranslatedEvent:
    translation = Translation("paid", NOW, meaning)
    return TranslatedEvent(MAIN_ACCOUNT, f"01-{number}", "shop", f"e{number}", translation, "v1")


# Requests to HubSpot


def sets(
    fields: Fields,
    identifiers: Mapping[str, str] | None = None,
    events: Sequence[str] = (),
    *,
    creates: bool = False,
) -> Write | Create:
    """The request that sets these fields of lead-1."""
    make = Create if creates else Write
    return make("lead-1", {"guid": "g"} if identifiers is None else identifiers, fields, list(events))


def reads(names: Sequence[str], identifiers: Mapping[str, str], events: Sequence[str] = ()) -> Read:
    """The request that asks what lead-1 has in these fields."""
    return Read("lead-1", identifiers, names, list(events))


def finds(keys: Sequence[Key], events: Sequence[str] = (), *, may_create: bool = False) -> Find:
    """The request that asks which lead has one of these identifiers, and may be created if none."""
    return Find("lead-1", [Identifier(*key) for key in keys], list(events), may_create=may_create)


def answered(request: Operation, outcome: Outcome) -> Attempt:
    return Attempt(request, outcome, NOW, 1000)
