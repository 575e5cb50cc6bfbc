"""Which lead an event is about: laws that hold for any events, and what a contradiction says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from integration.core.values import Identifier
from integration.lead.identity import Identified, KnownLeads, assign_leads

NUMBERS = count()
KEYS = st.tuples(st.sampled_from(["email", "customer", "person"]), st.sampled_from("abcdefgh"))
EVENTS = st.lists(st.lists(KEYS, min_size=1, max_size=3, unique=True), min_size=1, max_size=30)


def new_id() -> str:
    return f"lead-{next(NUMBERS):06}"


def identified(events: Iterable[Sequence[tuple[str, str]]]) -> list[Identified]:
    return [
        Identified(f"event-{number}", [Identifier(*key) for key in keys])
        for number, keys in enumerate(events)
    ]


def connected_sets(events: Iterable[Sequence[tuple[str, str]]]) -> set[frozenset[tuple[str, str]]]:
    """The answer by other means: sets that share a key are joined until none do."""
    sets: list[set[tuple[str, str]]] = []
    for keys in events:
        touching = [found for found in sets if found & set(keys)]
        sets = [found for found in sets if not found & set(keys)] + [set(keys).union(*touching)]
    return {frozenset(found) for found in sets}


def sets_of(known: KnownLeads) -> set[frozenset[tuple[str, str]]]:
    leads: dict[str, set[tuple[str, str]]] = {}
    for key, id in known.by_identifier.items():
        leads.setdefault(known.survivor(id), set()).add(key)
    return {frozenset(found) for found in leads.values()}


@given(EVENTS, st.randoms(use_true_random=False), st.integers(1, 30))
@settings(deadline=None)
def test_leads_are_the_connected_sets_in_any_order_and_any_batches(
    events: list[list[tuple[str, str]]], random: object, size: int
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known = KnownLeads()
    items = identified(shuffled)
    for start in range(0, len(items), size):
        assigned = assign_leads(items[start : start + size], known, new_id)
        assert not assigned.contradictions
        assert not assigned.postponed
    assert sets_of(known) == connected_sets(events)


@given(EVENTS)
@settings(deadline=None)
def test_an_event_is_about_the_lead_of_all_its_identifiers(events: list[list[tuple[str, str]]]) -> None:
    known = KnownLeads()
    items = identified(events)
    assigned = assign_leads(items, known, new_id)
    for item in items:
        leads = {known.survivor(known.by_identifier[key.kind, key.value]) for key in item.identifiers}
        assert leads == {assigned.lead_ids[item.event_id]}


GUIDED = st.lists(
    st.lists(st.one_of(KEYS, st.tuples(st.just("guid"), st.sampled_from("123"))), min_size=1, unique=True),
    max_size=20,
)


@given(GUIDED)
@settings(deadline=None)
def test_no_lead_ever_has_two_guids(events: list[list[tuple[str, str]]]) -> None:
    known = KnownLeads()
    items = identified(events)
    assigned = assign_leads(items, known, new_id)
    for keys in sets_of(known):
        assert len([value for kind, value in keys if kind == "guid"]) <= 1
    assert set(assigned.lead_ids) | set(assigned.contradictions) == {item.event_id for item in items}


def test_a_contradiction_shows_both_and_no_email() -> None:
    events = [
        [("guid", "g1"), ("email", "ann@example.com")],
        [("guid", "g2"), ("customer", "cus_1")],
        [("email", "ann@example.com"), ("customer", "cus_1")],
    ]
    assigned = assign_leads(identified(events), KnownLeads(), new_id)
    cause = assigned.contradictions["event-2"]
    assert cause.detail == (
        "the event's identifiers mean different leads: guid 'g1': its email is linked to it; "
        "guid 'g2': customer 'cus_1' is linked to it"
    )
    assert "`leadwire leads unlink KIND=VALUE`" in cause.cure


def test_the_lead_that_is_on_its_way_survives() -> None:
    known = KnownLeads({("email", "a"): "lead-1", ("customer", "b"): "lead-2"}, {}, {"lead-2"})
    assigned = assign_leads(identified([[("email", "a"), ("customer", "b")]]), known, new_id)
    assert assigned.survivors == {"lead-1": "lead-2"}


def test_two_leads_that_are_both_on_their_way_wait() -> None:
    known = KnownLeads({("email", "a"): "lead-1", ("customer", "b"): "lead-2"}, {}, {"lead-1", "lead-2"})
    assigned = assign_leads(identified([[("email", "a"), ("customer", "b")]]), known, new_id)
    assert assigned.postponed == {"event-0"}
    assert assigned.survivors == {}
