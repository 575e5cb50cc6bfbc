"""The one step: what is known after events depends on the events alone, not on how they are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from integration.core.values import (
    MAIN_ACCOUNT,
    Asked,
    Cause,
    EventState,
    FetchRequest,
    FieldChange,
    Identifier,
    Ignored,
    SetAside,
    TranslatedEvent,
    Translation,
    Wire,
)
from integration.lead.advance import Advanced, Circumstances, EndBefore, Known, advance
from integration.lead.record import BundleTiming, Priority, Record, RecordState

NOW = 1_800_000_000_000_000
AT_ONCE = BundleTiming(0, 0)
KEYS = st.tuples(st.sampled_from(["email", "customer", "person"]), st.sampled_from("abcde"))
VALUES = st.dictionaries(st.sampled_from(["city", "plan"]), st.integers(1, 5), max_size=2)
ASKED = st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=2, unique=True), VALUES), max_size=12)


def event(
    number: int,
    keys: Sequence[tuple[str, str]],
    fields: dict[str, int] | dict[str, Wire],
    version: str = "v1",
) -> TranslatedEvent:
    changes = tuple(
        FieldChange(name, value, "latest", f"mappings/shop/mapping.yaml:{number}", "a rule")
        for name, value in fields.items()
    )
    translation = Translation("paid", NOW + number, Asked(tuple(Identifier(*key) for key in keys), changes))
    return TranslatedEvent(MAIN_ACCOUNT, f"01-{number}", "shop", f"e{number}", translation, version)


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"lead-{next(numbers):03}"


def at(priority: Priority = Priority.LIVE, timing: BundleTiming = AT_ONCE) -> Circumstances:
    return Circumstances(MAIN_ACCOUNT, NOW, timing, priority, ids())


def then(known: Known, found: Advanced) -> Known:
    """What is known once a step is written down."""
    records = {id: record for id, record in known.records.items() if id not in found.survivors}
    return replace(known, leads=found.leads, records={**records, **found.records})


def people(known: Known) -> set[tuple[frozenset[tuple[str, str]], frozenset[tuple[str, object]]]]:
    """Each lead as the identifiers that mean it and the values of its fields."""
    keys: dict[str, set[tuple[str, str]]] = {}
    for key, id in known.leads.by_identifier.items():
        keys.setdefault(known.leads.survivor(id), set()).add(key)
    return {
        (frozenset(mine), frozenset((name, field.value) for name, field in known.records[id].fields.items()))
        for id, mine in keys.items()
    }


@settings(deadline=None)
@given(ASKED, st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_order_and_any_steps_end_with_the_same_people(
    asked: list[tuple[list[tuple[str, str]], dict[str, int]]], size: int, random: object
) -> None:
    events = [event(number, keys, fields) for number, (keys, fields) in enumerate(asked)]
    at_once = then(Known(), advance(Known(), events, at()))
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known, circumstances = Known(), at()
    for start in range(0, len(shuffled), size):
        known = then(known, advance(known, shuffled[start : start + size], circumstances))

    assert people(known) == people(at_once)


@given(ASKED)
def test_a_step_leaves_what_was_known_as_it_was(
    asked: list[tuple[list[tuple[str, str]], dict[str, int]]],
) -> None:
    known = then(Known(), advance(Known(), [event(0, [("email", "a")], {"city": 1})], at()))
    before = (known.leads.copy(), dict(known.records))

    advance(known, [event(number, keys, fields) for number, (keys, fields) in enumerate(asked, 1)], at())

    assert (known.leads, known.records) == before


def test_each_event_ends_as_its_translation_says() -> None:
    cause = Cause("missing_field", "no amount", "correct the path")
    translations = {
        "dead": Translation(None, None, SetAside(cause)),
        "ignored": Translation(None, None, Ignored("no rule means refund.created")),
        "fetching": Translation(None, None, FetchRequest("/v1/x", {})),
    }
    events = [
        TranslatedEvent(MAIN_ACCOUNT, name, "shop", name, said, "v1") for name, said in translations.items()
    ]

    found = advance(Known(), events, at())

    assert [(end.id, end.state) for end in found.ends] == [
        ("dead", EventState.DEAD),
        ("ignored", EventState.IGNORED),
        ("fetching", EventState.FETCHING),
    ]
    assert [end.cause and end.cause.detail for end in found.ends] == [
        "no amount",
        "no rule means refund.created",
        None,
    ]
    assert (found.records, found.links, found.asked, found.fetching) == ({}, {}, (), ["fetching"])


def test_a_live_event_makes_its_lead_due_when_its_window_is_over_and_a_replayed_one_marks_it() -> None:
    asked = [event(1, [("email", "a")], {"city": 1})]
    timing = BundleTiming(2_000_000, 10_000_000)

    live = advance(Known(), asked, at(timing=timing))
    replayed = advance(Known(), asked, at(Priority.REPLAYED, timing))

    (record,) = live.records.values()
    assert (record.state, record.due_at, record.unsent) == (RecordState.DUE, NOW + 2_000_000, {"city": 1})
    assert live.to_rebuild == frozenset()
    assert [record.state for record in replayed.records.values()] == [RecordState.CLEAN]
    assert replayed.to_rebuild == replayed.created == {"lead-001"}
    assert [update.event_id for _, update in replayed.asked] == ["01-1"]


def before_of(first: Advanced) -> dict[str, EndBefore]:
    asked = {update.event_id: (id, update) for id, update in first.asked}
    return {end.id: EndBefore(end.state, None, None, asked.get(end.id)) for end in first.ends}


def test_an_event_that_asks_for_the_same_is_no_news() -> None:
    first = advance(Known(), [event(1, [("email", "a")], {"city": 1})], at())
    known = replace(then(Known(), first), before=before_of(first))
    same = event(1, [("email", "a")], {"city": 1}, version="v2")

    again = advance(known, [same], at(Priority.REPLAYED))

    assert (again.ends, again.asked, again.withdrawn, again.to_rebuild) == ((), (), (), frozenset())


def test_a_change_of_the_write_rule_alone_is_news() -> None:
    first = advance(Known(), [event(1, [("email", "a")], {"city": 1})], at())
    known = replace(then(Known(), first), before=before_of(first))
    now = event(1, [("email", "a")], {"city": 1})
    asked = now.translation.meaning
    assert isinstance(asked, Asked)
    changes = (replace(asked.changes[0], write="earliest"),)
    earliest = replace(now, translation=replace(now.translation, meaning=replace(asked, changes=changes)))

    again = advance(known, [earliest], at(Priority.REPLAYED))

    assert again.to_rebuild == {"lead-001"}


def test_an_event_that_is_ignored_now_is_withdrawn_from_its_lead() -> None:
    first = advance(Known(), [event(1, [("email", "a")], {"city": 1})], at())
    known = replace(then(Known(), first), before=before_of(first))
    ignored = TranslatedEvent(
        MAIN_ACCOUNT, "01-1", "shop", "e1", Translation(None, None, Ignored("no rule")), "v2"
    )

    again = advance(known, [ignored], at(Priority.REPLAYED))

    assert (again.withdrawn, set(again.to_rebuild)) == (("01-1",), {"lead-001"})
    assert [end.state for end in again.ends] == [EventState.IGNORED]


def test_leads_that_turn_out_to_be_one_have_the_fields_of_both_and_the_oldest_id() -> None:
    known = then(
        Known(),
        advance(
            Known(),
            [event(1, [("email", "a")], {"city": 1}), event(2, [("customer", "c")], {"plan": 2})],
            at(),
        ),
    )

    found = advance(known, [event(3, [("customer", "c"), ("email", "a")], {})], at())

    assert found.survivors == {"lead-002": "lead-001"}
    assert found.records["lead-001"].unsent == {"city": 1, "plan": 2}
    assert found.created == frozenset()


def test_events_that_make_two_leads_one_while_both_are_on_their_way_wait() -> None:
    known = then(
        Known(),
        advance(
            Known(),
            [event(1, [("email", "a")], {"city": 1}), event(2, [("customer", "c")], {"plan": 2})],
            at(),
        ),
    )
    known.leads.leased.update({"lead-001", "lead-002"})

    found = advance(known, [event(3, [("customer", "c"), ("email", "a")], {"city": 9})], at())

    assert found.postponed == {"01-3"}
    assert (found.ends, found.records, found.asked) == ((), {}, ())


def test_a_mapping_that_creates_leads_lets_hubspot_create_theirs() -> None:
    creating = replace(event(1, [("email", "a")], {"city": 1}), creates=True)

    found = advance(Known(), [creating, event(2, [("email", "b")], {"city": 2})], at())

    assert [record.creates for record in found.records.values()] == [True, False]


def test_a_new_lead_starts_from_what_hubspot_is_said_to_have() -> None:
    has = Record(MAIN_ACCOUNT, "x").fields
    found = advance(Known(fields_of_new=has), [event(1, [("email", "a")], {"city": 1})], at())

    assert found.records["lead-001"].unsent == {"city": 1}
