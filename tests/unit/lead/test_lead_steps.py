"""The one step, event by event: how each ends, what is news, and which records change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from integration.core.values import MAIN_ACCOUNT, Cause, EventEnd, EventState, TranslatedEvent, Wire
from integration.lead.advance import Advanced, Circumstances, EndBefore, Known, LeadUpdate, advance
from integration.lead.identity import KnownLeads
from integration.lead.merge import before, confirm
from integration.lead.record import BundleTiming, Priority, Record, RecordState
from tests.unit.lead.lead_values import (
    CAUSE,
    DAY,
    NOW,
    SECOND,
    asks,
    dead,
    fetching,
    fields_of,
    ids,
    ignored,
    update,
)

ANN, CUS, GUID = ("email", "ann@example.com"), ("customer", "cus_1"), ("guid", "g1")
WINDOW = 2 * SECOND


def at(priority: Priority = Priority.LIVE) -> Circumstances:
    return Circumstances(MAIN_ACCOUNT, NOW, BundleTiming(WINDOW, 10 * SECOND), priority, ids())


def knowing(*records: Record, **links: str) -> Known:
    """What is known: these records, and which lead an email or another key means."""
    keys = {"ann": ANN, "cus": CUS}
    leads = KnownLeads({keys[name]: id for name, id in links.items()})
    return Known(leads, {record.id: record for record in records})


def ended(end: EventEnd, asked: LeadUpdate | None) -> EndBefore:
    if end.cause is None:
        return EndBefore(end.state, None, None, asked)
    return EndBefore(end.state, end.cause.code, end.cause.detail, asked)


def again(known: Known, first: Advanced, *events: TranslatedEvent) -> Advanced:
    """What a replay of these events finds, after `first`."""
    asked = {item.event_id: (id, item) for id, item in first.asked}
    ends = {end.id: ended(end, asked.get(end.id)) for end in first.ends}
    records = {**known.records, **first.records}
    return advance(Known(first.leads, records, ends), events, at(Priority.REPLAYED))


def test_an_event_that_asks_ends_translated_with_its_lead_its_time_and_its_version() -> None:
    found = advance(Known(), [asks(1, [ANN], {"city": "Rome"}, version="v7")], at())
    (end,) = found.ends
    assert (end.id, end.state, end.lead_id, end.cause) == ("01-1", EventState.TRANSLATED, "lead-001", None)
    assert (end.type, end.occurred_at, end.mapping_version) == ("paid", NOW + 1, "v7")
    assert found.links == {ANN: "lead-001"}
    assert found.created == {"lead-001"}


def test_what_ends_otherwise_is_of_no_lead() -> None:
    found = advance(Known(), [dead(1), ignored(2, "no rule means it"), fetching(3)], at())
    assert [(end.state, end.lead_id, end.cause) for end in found.ends] == [
        (EventState.DEAD, None, CAUSE),
        (EventState.IGNORED, None, Cause("ignored", "no rule means it", "")),
        (EventState.FETCHING, None, None),
    ]
    assert (found.leads, found.created, found.withdrawn) == (KnownLeads(), frozenset(), ())


def test_an_event_that_contradicts_what_is_known_is_dead_and_changes_nothing() -> None:
    known = knowing(Record(MAIN_ACCOUNT, "lead-1"), ann="lead-1")
    known.leads.single["lead-1", "guid"] = "g0"
    found = advance(known, [asks(1, [ANN, GUID], {"city": "Rome"})], at())
    (end,) = found.ends
    assert end.cause is not None
    assert (end.state, end.lead_id, end.cause.code) == (EventState.DEAD, None, "contradicting_identifiers")
    assert (found.asked, found.records, found.links) == ((), {}, {})


class TestNews:
    first = (asks(1, [ANN], {"city": "Rome"}), ignored(2), dead(3), fetching(4))

    def test_what_ends_as_before_is_none(self) -> None:
        found = again(Known(), advance(Known(), self.first, at()), *self.first)
        assert (found.ends, found.asked, found.withdrawn, found.to_rebuild) == ((), (), (), frozenset())

    @pytest.mark.parametrize(
        "now",
        [
            ignored(2, "another reason"),
            dead(2),
            fetching(2),
            dead(3, replace(CAUSE, code="another_cause")),
            dead(3, replace(CAUSE, detail="another path")),
        ],
    )
    def test_another_end_or_another_reason_is(self, now: TranslatedEvent) -> None:
        found = again(Known(), advance(Known(), self.first, at()), now)
        assert [end.id for end in found.ends] == [now.id]
        assert (found.asked, found.withdrawn, found.to_rebuild) == ((), (), frozenset())

    def test_another_cure_alone_is_none(self) -> None:
        now = dead(3, replace(CAUSE, cure="another cure"))
        assert again(Known(), advance(Known(), self.first, at()), now).ends == ()

    @pytest.mark.parametrize(("was", "now"), [(20, 20.0), (1, True), ("1", 1), ("Rome", None)])
    def test_another_value_is_and_its_lead_is_rebuilt(self, was: Wire, now: Wire | None) -> None:
        first = advance(Known(), [asks(1, [ANN], {"city": was})], at())
        found = again(Known(), first, asks(1, [ANN], {"city": now}))
        assert found.to_rebuild == {"lead-001"}
        assert [id for id, _ in found.asked] == ["lead-001"]

    def test_another_time_is(self) -> None:
        now = asks(1, [ANN], {"city": "Rome"})
        later = replace(now, translation=replace(now.translation, occurred_at=NOW + DAY))
        assert again(Known(), advance(Known(), self.first, at()), later).to_rebuild == {"lead-001"}

    def test_an_event_that_asks_now_and_did_not_before_is(self) -> None:
        found = again(Known(), advance(Known(), self.first, at()), asks(2, [ANN], {"plan": "Pro"}))
        assert found.to_rebuild == {"lead-001"}
        assert (len(found.asked), found.withdrawn) == (1, ())

    def test_an_event_of_which_no_update_is_kept_asks_again(self) -> None:
        known = Known(before={"01-1": EndBefore(EventState.TRANSLATED, None, None)})
        found = advance(known, [asks(1, [ANN], {"city": "Rome"})], at(Priority.REPLAYED))
        assert [id for id, _ in found.asked] == ["lead-001"]

    def test_an_event_that_is_of_another_lead_now_rebuilds_both(self) -> None:
        both = (asks(1, [ANN], {"city": "Rome"}), asks(2, [CUS], {"plan": "Pro"}))
        found = again(Known(), advance(Known(), both, at()), asks(1, [CUS], {"city": "Rome"}))
        assert found.to_rebuild == {"lead-001", "lead-002"}
        assert [id for id, _ in found.asked] == ["lead-002"]

    def test_a_lead_that_turned_out_to_be_another_is_the_same_lead(self) -> None:
        both = (asks(1, [ANN], {"city": "Rome"}), asks(2, [CUS], {"plan": "Pro"}))
        first = advance(Known(), both, at())
        found = again(Known(), first, both[1], asks(3, [ANN, CUS], {}))
        assert [id for id, _ in found.asked] == ["lead-001"], "only the third is news"
        assert found.to_rebuild == {"lead-001"}


class TestAccount:
    """Records that nobody had yet are of the account of the step."""

    circumstances = replace(at(), account="other")

    def test_of_a_lead_that_nobody_knew(self) -> None:
        found = advance(Known(), [asks(1, [ANN], {"city": "Rome"})], self.circumstances)
        assert found.records["lead-001"].account == "other"

    def test_of_leads_that_are_one_and_have_none(self) -> None:
        known = Known(KnownLeads({ANN: "lead-1", CUS: "lead-2"}))
        found = advance(known, [asks(1, [ANN, CUS], {})], self.circumstances)
        assert found.records["lead-1"].account == "other"


class TestRecords:
    def test_a_live_event_of_a_known_lead_changes_its_record(self) -> None:
        known = knowing(
            Record(
                MAIN_ACCOUNT,
                "lead-1",
                fields=confirm(fields_of(update("e0", 1, plan="Pro")), {"plan": "Pro"}),
            ),
            ann="lead-1",
        )
        found = advance(known, [asks(1, [ANN], {"city": "Rome"}), asks(2, [ANN], {"fax": "1"})], at())
        record = found.records["lead-1"]
        assert record.unsent == {"city": "Rome", "fax": "1"}
        assert (record.due_at, found.created, found.links) == (NOW + WINDOW, frozenset(), {})

    def test_a_replayed_event_changes_no_known_record_before_it_is_rebuilt(self) -> None:
        known = knowing(Record(MAIN_ACCOUNT, "lead-1"), ann="lead-1")
        found = advance(known, [asks(1, [ANN], {"city": "Rome"})], at(Priority.REPLAYED))
        assert found.records == {}
        assert found.to_rebuild == {"lead-1"}

    def test_a_lead_of_which_no_record_is_known_yet_begins_with_what_hubspot_has(self) -> None:
        known = replace(knowing(ann="lead-1"), fields_of_new=before({"city": "Rome"}))
        found = advance(known, [asks(1, [ANN], {"city": "Rome", "plan": "Pro"})], at())
        assert found.records["lead-1"].unsent == {"plan": "Pro"}
        assert found.records["lead-1"].id == "lead-1"

    @pytest.mark.parametrize("priority", list(Priority))
    def test_one_event_that_creates_suffices_and_it_stays_so(self, priority: Priority) -> None:
        known = knowing(Record(MAIN_ACCOUNT, "lead-1"), ann="lead-1")
        events = [asks(1, [ANN], {}), asks(2, [ANN], {}, creates=True), asks(3, [ANN], {})]
        found = advance(known, events, at(priority))
        assert found.records["lead-1"].creates
        known = Known(found.leads, found.records)
        assert advance(known, [asks(4, [ANN], {})], at()).records["lead-1"].creates

    def test_who_was_not_found_is_looked_for_again_once_known_by_more(self) -> None:
        cause = Cause("unresolved", "the lead is known by customer only", "")
        lost = Record(
            MAIN_ACCOUNT, "lead-1", RecordState.DEAD, cause=cause, attempts=3, failing_since=NOW - DAY
        )
        known = knowing(lost, cus="lead-1")
        found = advance(known, [asks(1, [CUS, ANN], {})], at())
        assert (found.records["lead-1"].state, found.records["lead-1"].due_at) == (RecordState.DUE, NOW)
        same = advance(known, [asks(1, [CUS], {})], at())
        assert same.records["lead-1"].state is RecordState.DEAD
        replayed = advance(known, [asks(1, [CUS, ANN], {})], at(Priority.REPLAYED))
        assert replayed.records == {}

    def test_leads_that_are_one_have_all_that_both_had_and_what_the_event_asks(self) -> None:
        one = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(update("a", 1, city="Rome")))
        other = Record(MAIN_ACCOUNT, "lead-2", fields=fields_of(update("b", 2, plan="Pro")), creates=True)
        known = knowing(one, other, ann="lead-1", cus="lead-2")
        for priority in Priority:
            found = advance(known, [asks(1, [ANN, CUS], {"fax": "1"})], at(priority))
            record = found.records["lead-1"]
            asked = {"fax": "1"} if priority is Priority.LIVE else {}
            assert record.unsent == {"city": "Rome", "plan": "Pro", **asked}
            assert (record.creates, found.survivors) == (True, {"lead-2": "lead-1"})
            assert (record.state, record.due_at) == (
                RecordState.DUE,
                NOW + WINDOW if asked else NOW,
            )

    def test_of_three_that_are_one_nothing_is_lost(self) -> None:
        records = [
            Record(
                MAIN_ACCOUNT, f"lead-{n}", fields=fields_of(update(f"u{n}", n, "latest", **{f"field{n}": n}))
            )
            for n in (1, 2, 3)
        ]
        leads = KnownLeads({ANN: "lead-1", CUS: "lead-2", GUID: "lead-3"})
        known = Known(leads, {record.id: record for record in records})
        found = advance(known, [asks(1, [GUID, CUS, ANN], {})], at())
        assert found.records["lead-1"].unsent == {"field1": 1, "field2": 2, "field3": 3}
        assert found.survivors == {"lead-2": "lead-1", "lead-3": "lead-1"}

    def test_leads_without_a_record_can_be_one_too(self) -> None:
        both = knowing(ann="lead-1", cus="lead-2")
        event = asks(1, [ANN, CUS], {"city": "Rome"})
        assert advance(both, [event], at()).records["lead-1"].unsent == {"city": "Rome"}
        younger = knowing(
            Record(MAIN_ACCOUNT, "lead-2", fields=fields_of(update("b", 2, plan="Pro"))),
            ann="lead-1",
            cus="lead-2",
        )
        found = advance(younger, [event], at())
        assert found.records["lead-1"].unsent == {"city": "Rome", "plan": "Pro"}
        assert found.records["lead-1"].id == "lead-1"
