"""A plan: what steps would change, one after the other, while nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from integration.core.values import MAIN_ACCOUNT, TranslatedEvent, Update, Wire
from integration.lead.advance import Advanced, Circumstances, EndBefore, Known, LeadUpdate, advance
from integration.lead.identity import KnownLeads
from integration.lead.merge import FieldState, confirm, pending
from integration.lead.planned import Planned, PlannedField, PlannedLead
from integration.lead.record import BundleTiming, Priority, Record, RecordState
from tests.unit.lead.lead_values import NOW, Key, asks, fields_of, ids, ignored, keys_of, update

ANN, CUS, GUID = ("email", "ann@example.com"), ("customer", "cus_1"), ("guid", "g1")


def at(priority: Priority = Priority.REPLAYED) -> Circumstances:
    word = "lead" if priority is Priority.LIVE else "new"
    return Circumstances(MAIN_ACCOUNT, NOW, BundleTiming(0, 0), priority, ids(word))


def stored(*events: TranslatedEvent) -> tuple[Known, Advanced]:
    """What is known once these events were translated live, and what that found."""
    found = advance(Known(), events, at(Priority.LIVE))
    asked = {item.event_id: (id, item) for id, item in found.asked}
    ends = {end.id: EndBefore(end.state, None, None, asked.get(end.id)) for end in found.ends}
    leads = found.leads  # as stored: an identifier of a lead that turned out to be another is that one's
    by_identifier = {key: leads.survivor(id) for key, id in leads.by_identifier.items()}
    single = {key: value for key, value in leads.single.items() if key[0] not in leads.merged}
    records = {id: record for id, record in found.records.items() if id not in leads.merged}
    return Known(KnownLeads(by_identifier, single), records, ends), found


def planned(known: Known, *steps: list[TranslatedEvent]) -> list[PlannedLead]:
    """The leads of a plan of these steps."""
    plan, circumstances = Planned(), at()
    for events in steps:
        keys = [key for event in events for key in keys_of(event)]
        seen = plan.over(known, keys)
        plan.add(seen, advance(seen, events, circumstances))
    return list(plan.leads())


def values(lead: PlannedLead) -> dict[str, dict[str, Wire | None] | None]:
    """What each event of the lead would ask for."""
    return {
        event: None if asked is None else {change.field: change.value for change in asked.changes}
        for event, asked in lead.asked.items()
    }


def test_an_event_that_would_ask_for_something_else_tells_its_lead_and_what() -> None:
    known, _ = stored(asks(1, [ANN], {"city": "Rome"}))

    (lead,) = planned(known, [asks(1, [ANN], {"city": "Oslo"})])

    assert lead.members == ("lead-001",)
    assert values(lead) == {"01-1": {"city": "Oslo"}}
    assert lead.identifiers == {}


def test_events_that_would_ask_for_the_same_change_no_lead() -> None:
    known, _ = stored(asks(1, [ANN], {"city": "Rome"}))
    assert planned(known, [asks(1, [ANN], {"city": "Rome"})]) == []


def test_an_event_that_would_be_ignored_asks_for_nothing_any_more() -> None:
    known, _ = stored(asks(1, [ANN], {"city": "Rome"}))
    (lead,) = planned(known, [ignored(1)])
    assert (lead.members, values(lead)) == (("lead-001",), {"01-1": None})


def test_a_lead_that_nobody_knew_has_the_identifiers_of_all_steps() -> None:
    (lead,) = planned(
        Known(), [asks(1, [ANN], {"city": "Rome"})], [asks(2, [ANN, CUS], {"plan": "Pro"})], [ignored(3)]
    )
    assert lead.members == ("new-001",)
    assert values(lead) == {"01-1": {"city": "Rome"}, "01-2": {"plan": "Pro"}}
    assert lead.identifiers == dict([ANN, CUS])


def test_an_event_that_would_be_of_another_lead_is_taken_from_the_one_it_was_of() -> None:
    known, _ = stored(asks(1, [ANN], {"city": "Rome"}), asks(2, [CUS], {"plan": "Pro"}))
    first, second = planned(known, [asks(1, [CUS], {"city": "Rome"})])
    assert (first.members, values(first)) == (("lead-001",), {"01-1": None})
    assert (second.members, values(second)) == (("lead-002",), {"01-1": {"city": "Rome"}})


def test_leads_that_would_be_one_are_one_with_the_oldest_id_first_whichever_step_shows_it() -> None:
    known, _ = stored(asks(1, [ANN], {"city": "Rome"}), asks(2, [CUS], {"plan": "Pro"}))
    together = asks(3, [CUS, ANN], {"fax": "1"})
    later = asks(4, [CUS], {"phone": "2"})
    for steps in ([[together, later]], [[together], [later]], [[later], [together]]):
        (lead,) = planned(known, *steps)
        assert lead.members == ("lead-001", "lead-002")
        assert values(lead) == {"01-3": {"fax": "1"}, "01-4": {"phone": "2"}}


def test_an_event_that_moves_within_leads_that_would_be_one_still_asks() -> None:
    known, _ = stored(asks(1, [CUS], {"city": "Rome"}), asks(2, [ANN], {"plan": "Pro"}))
    (lead,) = planned(known, [asks(2, [CUS], {"plan": "Pro"})], [asks(3, [ANN, CUS], {})])
    assert lead.members == ("lead-001", "lead-002")
    assert values(lead) == {"01-2": {"plan": "Pro"}, "01-3": {}}


def test_a_later_step_knows_the_guid_that_an_earlier_one_found() -> None:
    known, _ = stored(asks(1, [ANN], {}), asks(2, [CUS], {}))
    plan, circumstances = Planned(), at()
    for event in (asks(3, [ANN, GUID], {}), asks(4, [CUS, ("guid", "g2")], {})):
        seen = plan.over(known, keys_of(event))
        plan.add(seen, advance(seen, [event], circumstances))

    seen = plan.over(known, [ANN, CUS])
    found = advance(seen, [asks(5, [ANN, CUS], {})], circumstances)

    (end,) = found.ends
    assert end.cause is not None
    assert end.cause.code == "contradicting_identifiers"


def test_a_later_step_knows_which_leads_would_be_one_and_holds_none_for_on_its_way() -> None:
    known, _ = stored(asks(1, [ANN], {}), asks(2, [CUS], {}))
    known = replace(known, leads=replace(known.leads, leased={"lead-001", "lead-002"}))
    plan, circumstances = Planned(), at()
    seen = plan.over(known, [ANN, CUS])
    plan.add(seen, advance(seen, [asks(3, [ANN, CUS], {})], circumstances))

    later = plan.over(known, [CUS]).leads
    assert (later.merged, later.leased) == ({"lead-002": "lead-001"}, set())


def test_a_guid_goes_with_the_lead_that_another_would_be() -> None:
    known, _ = stored(asks(1, [ANN], {}), asks(2, [CUS, GUID], {}))
    plan, circumstances = Planned(), at()
    for event, keys in ((asks(3, [ANN, CUS], {}), [ANN, CUS]), (asks(4, [ANN, ("guid", "g2")], {}), [ANN])):
        seen = plan.over(replace(known, leads=replace(known.leads, single=dict(known.leads.single))), keys)
        found = advance(seen, [event], circumstances)
        plan.add(seen, found)
    assert [end.state for end in found.ends] == ["dead"], "lead-001 has the guid of lead-002 now"


def test_in_a_plan_nothing_is_on_its_way() -> None:
    known, _ = stored(asks(1, [ANN], {}), asks(2, [CUS], {}))
    known.leads.leased.update({"lead-001", "lead-002"})
    (lead,) = planned(known, [asks(3, [ANN, CUS], {"city": "Rome"})])
    assert lead.members == ("lead-001", "lead-002")


def test_what_is_stored_of_an_identifier_stands_before_what_was_planned() -> None:
    plan = Planned()
    plan.add(Known(), advance(Known(), [asks(1, [ANN, CUS], {})], at()))
    meanwhile = Known(KnownLeads({ANN: "lead-000"}, {("lead-000", "guid"): "g1"}))

    seen = plan.over(meanwhile, [ANN, CUS, ("person", "7")])

    assert seen.leads.by_identifier == {ANN: "lead-000", CUS: "new-001"}
    assert seen.leads.single == {("lead-000", "guid"): "g1"}


class TestRecord:
    lead = PlannedLead(("lead-1", "lead-2"), {}, {})

    def test_of_stored_ones_it_has_the_fields_of_all_and_the_first_id(self) -> None:
        one = Record(MAIN_ACCOUNT, "lead-1", RecordState.CLEAN, fields_of(update("e1", 1, city="Rome")))
        other = Record(MAIN_ACCOUNT, "lead-2", RecordState.CLEAN, fields_of(update("e2", 2, plan="Pro")))
        record = self.lead.record(MAIN_ACCOUNT, [one, other], NOW)
        assert (record.id, record.unsent) == ("lead-1", {"city": "Rome", "plan": "Pro"})
        assert record.due_at == NOW

    def test_of_none_it_is_empty(self) -> None:
        assert self.lead.record(MAIN_ACCOUNT, [], NOW) == Record(MAIN_ACCOUNT, "lead-1")


class TestFields:
    rome, oslo = update("e1", 10, city="Rome"), update("e1", 10, city="Oslo")
    plan = update("e2", 20, plan="Pro")
    sent = confirm(fields_of(rome, plan), {"city": "Rome", "plan": "Pro"})

    def fields(
        self, record: Record, asked: dict[str, Update | None], *updates: Update
    ) -> tuple[PlannedField, ...]:
        return PlannedLead(("lead-1",), asked, {}).fields(record, updates)

    def test_a_value_that_would_be_another_would_be_sent_and_says_where_it_comes_from(self) -> None:
        (field,) = self.fields(
            Record(MAIN_ACCOUNT, "lead-1", fields=self.sent), {"e1": self.oslo}, self.rome, self.plan
        )
        assert (field.name, field.would_send, field.after.value) == ("city", True, "Oslo")
        assert (field.before.sent, field.cause) == ("Rome", field.after)

    def test_what_would_be_sent_as_well_is_not_told(self) -> None:
        record = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(self.rome, self.plan))
        assert self.fields(record, {"e3": update("e3", 30, fax="1")}, self.rome, self.plan) == (
            PlannedField("fax", FieldState(), fields_of(update("e3", 30, fax="1"))["fax"], would_send=True),
        )

    def test_what_would_no_longer_be_sent_says_which_event_it_came_from(self) -> None:
        record = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(self.rome, self.plan))
        (field,) = self.fields(record, {"e1": None}, self.rome, self.plan)
        assert (field.name, field.would_send, field.after.value) == ("city", False, None)
        assert (field.cause.event_id, field.cause) == ("e1", field.before)

    def test_another_value_of_what_is_unsent_is_told(self) -> None:
        record = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(self.rome, self.plan))
        (field,) = self.fields(record, {"e1": self.oslo}, self.rome, self.plan)
        assert (field.name, field.before.value, field.after.value) == ("city", "Rome", "Oslo")

    def test_they_come_in_the_order_of_their_names(self) -> None:
        asked = update("e3", 30, fax="1", age=7, zip="x", city="Bonn")
        fields = self.fields(Record(MAIN_ACCOUNT, "lead-1"), {"e3": asked})
        assert [field.name for field in fields] == ["age", "city", "fax", "zip"]

    def test_what_was_removed_still_counts(self) -> None:
        record = Record(MAIN_ACCOUNT, "lead-1", fields=self.sent, archived=fields_of(self.rome))
        assert self.fields(record, {"e3": update("e3", 30, plan="Max")}, self.plan)[0].name == "plan"


KEYS = st.tuples(st.sampled_from(["email", "customer"]), st.sampled_from("abc"))
ASKED = st.lists(
    st.tuples(
        st.lists(KEYS, min_size=1, max_size=2, unique=True),
        st.dictionaries(st.sampled_from(["city", "plan"]), st.integers(1, 3), max_size=2),
    ),
    max_size=6,
)


def asked_of(found: Advanced) -> dict[str, LeadUpdate]:
    return {item.event_id: (id, item) for id, item in found.asked}


def left(asked: Iterable[LeadUpdate], leads: KnownLeads) -> dict[str, dict[str, Wire | None]]:
    """What would be sent of each lead once its events ask for this."""
    updates: dict[str, list[Update]] = {}
    for id, item in asked:
        updates.setdefault(leads.survivor(id), []).append(item)
    return {id: pending(fields_of(*items)) for id, items in updates.items()}


def changes_between(
    before: dict[str, dict[str, Wire | None]], after: dict[str, dict[str, Wire | None]]
) -> list[tuple[str, dict[str, Wire | None]]]:
    """The fields that would get another value, lead by lead; one that nobody knew is `new`."""
    found = []
    for id in {*before, *after}:
        was, now = before.get(id, {}), after.get(id, {})
        fields = {name: now.get(name) for name in {*was, *now} if was.get(name) != now.get(name)}
        if fields:
            found.append((id if id.startswith("lead") else "new", fields))
    return sorted(found, key=lambda item: (item[0], sorted(item[1].items())))


@settings(deadline=None)
@given(ASKED, ASKED, st.integers(1, 6))
def test_a_plan_in_any_steps_tells_what_a_replay_would_change(
    live: list[tuple[list[Key], dict[str, int]]], again: list[tuple[list[Key], dict[str, int]]], size: int
) -> None:
    known, found = stored(*(asks(number, *item) for number, item in enumerate(live)))
    events = [asks(number, *item, version="v2") for number, item in enumerate(again)]

    told = []
    for lead in planned(known, *(events[start : start + size] for start in range(0, len(events), size))):
        there = [known.records[id] for id in lead.members if id in known.records]
        updates = [item for id, item in found.asked if id in lead.members]
        fields = lead.fields(lead.record(MAIN_ACCOUNT, there, NOW), updates)
        if fields:
            id = lead.members[0] if there else "new"
            told.append((id, {field.name: field.after.value for field in fields}))

    replayed = advance(known, events, at())
    before = left(asked_of(found).values(), replayed.leads)
    after = left({**asked_of(found), **asked_of(replayed)}.values(), replayed.leads)
    assert sorted(told, key=lambda item: (item[0], sorted(item[1].items()))) == changes_between(before, after)
