"""Which lead an event is about: laws that hold for any events, and what a contradiction says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.core.values import Cause, Identifier
from integration.lead.identity import Identified, KnownLeads, assign_leads, contradict

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


def test_what_an_event_says_itself_can_contradict_what_is_known() -> None:
    known = KnownLeads({("email", "a"): "lead-1"}, {("lead-1", "guid"): "g1"})
    events = [[("email", "a"), ("guid", "g2")], [("guid", "g3"), ("guid", "g4"), ("customer", "c")]]
    assigned = assign_leads(identified(events), known, new_id)
    prefix = "the event's identifiers mean different leads: "
    assert {id: cause.detail for id, cause in assigned.contradictions.items()} == {
        "event-0": f"{prefix}guid 'g1': its email is linked to it; guid 'g2': this event says it itself",
        "event-1": f"{prefix}guid 'g3': this event says it itself; guid 'g4': this event says it itself",
    }
    assert (assigned.lead_ids, assigned.fresh) == ({}, {}), "nothing of them is linked"
    assert known.by_identifier == {("email", "a"): "lead-1"}


def test_what_an_event_says_again_is_named_as_said_by_the_event() -> None:
    known = KnownLeads(
        {("guid", "g1"): "lead-1", ("customer", "c"): "lead-2"},
        {("lead-1", "guid"): "g1", ("lead-2", "guid"): "g2"},
    )
    assigned = assign_leads(identified([[("guid", "g1"), ("customer", "c")]]), known, new_id)
    assert assigned.contradictions["event-0"] == Cause(
        "contradicting_identifiers",
        "the event's identifiers mean different leads: guid 'g1': this event says it itself; "
        "guid 'g2': customer 'c' is linked to it",
        "see whose identifier is wrong, then `leadwire leads unlink KIND=VALUE` it (or `leadwire leads link "
        "KIND=VALUE guid=...` it to the right lead): the event is then tried again",
    )


def test_all_identifiers_of_a_lead_that_contradicts_are_named_and_long_ones_shortened() -> None:
    long = "c" * 500
    known = KnownLeads(
        {("email", "a"): "lead-1", ("customer", long): "lead-1", ("person", "p"): "lead-2"},
        {("lead-1", "contact_id"): "1", ("lead-2", "contact_id"): "2"},
    )
    events = [[("email", "a"), ("customer", long), ("person", "p"), ("person", "new")]]
    (cause,) = assign_leads(identified(events), known, new_id).contradictions.values()
    assert "contact_id '1': its email, customer 'ccc" in cause.detail
    assert "contact_id '2': person 'p' is linked to it" in cause.detail
    assert "'new'" not in cause.detail, "it is linked to nobody"
    assert len(cause.detail) < 400


@pytest.mark.parametrize("kind", ["guid", "contact_id"])
def test_leads_that_hubspot_knows_as_two_are_never_one(kind: str) -> None:
    known = KnownLeads(
        {("email", "a"): "lead-1", ("customer", "b"): "lead-2"},
        {("lead-1", kind): "1", ("lead-2", kind): "2"},
    )
    assigned = assign_leads(identified([[("email", "a"), ("customer", "b")]]), known, new_id)
    assert list(assigned.contradictions) == ["event-0"]
    assert contradict("lead-1", "lead-2", known)


def test_leads_contradict_only_where_both_are_known_by_different_ids() -> None:
    def known(**single: str) -> KnownLeads:
        kinds = {"guid1": ("lead-1", "guid"), "guid2": ("lead-2", "guid"), "id2": ("lead-2", "contact_id")}
        return KnownLeads(single={kinds[name]: value for name, value in single.items()})

    assert not contradict("lead-1", "lead-2", known())
    assert not contradict("lead-1", "lead-2", known(guid1="g"))
    assert not contradict("lead-1", "lead-2", known(guid2="g"))
    assert not contradict("lead-1", "lead-2", known(guid1="g", guid2="g"))
    assert not contradict("lead-1", "lead-2", known(guid1="1", id2="2"))
    assert contradict("lead-1", "lead-2", known(guid1="g", guid2="h"))


def test_the_survivor_has_the_guid_of_the_one_that_is_gone() -> None:
    known = KnownLeads(
        {("email", "a"): "lead-1", ("customer", "b"): "lead-2"},
        {("lead-2", "guid"): "g", ("lead-2", "contact_id"): "7"},
    )
    assign_leads(identified([[("email", "a"), ("customer", "b")]]), known, new_id)
    assigned = assign_leads(identified([[("email", "a"), ("guid", "other")]]), known, new_id)
    assert "guid 'g': its email is linked to it" in assigned.contradictions["event-0"].detail
    assert known.single["lead-1", "contact_id"] == "7"


def test_of_several_events_each_lead_is_told_as_the_one_that_it_turned_out_to_be() -> None:
    known = KnownLeads({("email", "a"): "lead-1", ("customer", "b"): "lead-2"})
    events = [
        [("customer", "b"), ("person", "p")],
        [("person", "fresh")],
        [("person", "p"), ("email", "a")],
        [("person", "fresh"), ("email", "a")],
    ]
    assigned = assign_leads(identified(events), known, lambda: "lead-9")
    assert assigned.lead_ids == dict.fromkeys((f"event-{n}" for n in range(4)), "lead-1")
    assert assigned.fresh == {("person", "p"): "lead-1", ("person", "fresh"): "lead-1"}
    assert assigned.survivors == {"lead-2": "lead-1"}, "lead-9 was never stored"


def test_an_event_whose_leads_are_on_their_way_and_not_waits_only_for_those_of_its_own() -> None:
    known = KnownLeads(
        {("email", "a"): "lead-1", ("customer", "b"): "lead-2", ("person", "c"): "lead-3"},
        leased={"lead-2", "lead-3"},
    )
    events = [
        [("email", "a"), ("customer", "b")],
        [("customer", "b"), ("person", "c")],
        [("email", "new")],
    ]
    assigned = assign_leads(identified(events), known, lambda: "lead-9")
    assert assigned.postponed == {"event-1"}
    assert assigned.lead_ids == {"event-0": "lead-2", "event-2": "lead-9"}
    assert known.by_identifier[("email", "new")] == "lead-9"


def test_a_copy_is_changed_apart() -> None:
    known = KnownLeads(
        {("email", "a"): "lead-1"}, {("lead-1", "guid"): "g"}, {"lead-1"}, {"lead-2": "lead-1"}
    )
    copy = known.copy()
    assert copy == known
    copy.by_identifier.clear()
    copy.single.clear()
    copy.leased.clear()
    copy.merged.clear()
    assert known == KnownLeads(
        {("email", "a"): "lead-1"}, {("lead-1", "guid"): "g"}, {"lead-1"}, {"lead-2": "lead-1"}
    )
