"""Every way a record changes: when it is due, what it keeps, and what it forgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.core.values import MAIN_ACCOUNT, Cause, Outcome, OutcomeKind
from integration.lead.merge import before, confirm, learn, merge
from integration.lead.record import (
    NOT_FOUND_CAUSES,
    BundleTiming,
    Priority,
    Record,
    RecordState,
    Refusal,
    after_attempt,
    archived,
    at_rest_or_due,
    changed,
    failed,
    held_back_by,
    joined,
    looked_up_again,
    not_addressable,
    rebuilt,
    refused,
    relinked,
    set_aside,
    to_be_created,
)
from tests.unit.lead.lead_values import (
    CAUSE,
    DAY,
    NOW,
    PLACE,
    SECOND,
    answered,
    fields_of,
    finds,
    reads,
    record,
    sets,
    update,
)

TIMING = BundleTiming(2 * SECOND, 10 * SECOND)
EARLIER = NOW - 60 * SECOND
BERLIN = update("e1", 10, city="Berlin")
PARIS = update("e2", 20, city="Paris")
PLAN = update("e3", 30, plan="Pro")
NOT_FOUND = Cause("lead_not_found", "no such contact", "wait")
DEAD = replace(
    record(BERLIN, state=RecordState.DEAD),
    due_at=None,
    waiting_since=None,
    attempts=4,
    failing_since=EARLIER,
    cause=CAUSE,
)
FAILING = replace(
    record(BERLIN, state=RecordState.DUE), due_at=NOW + DAY, attempts=4, failing_since=EARLIER, cause=CAUSE
)
DELIVERED = Record(MAIN_ACCOUNT, "lead-1", RecordState.CLEAN, confirm(fields_of(BERLIN), {"city": "Berlin"}))


def trouble(item: Record) -> tuple[int, int | None, Cause | None]:
    return item.attempts, item.failing_since, item.cause


class TestBundleTiming:
    def test_is_in_microseconds(self) -> None:
        assert BundleTiming.from_seconds(1.5, 20) == BundleTiming(1_500_000, 20_000_000)

    def test_waits_at_least_the_window_whatever_the_longest_wait_says(self) -> None:
        assert BundleTiming.from_seconds(5, 2) == BundleTiming(5_000_000, 5_000_000)


class TestChanged:
    def test_is_due_when_its_window_is_over_before_what_a_replay_changed(self) -> None:
        after = changed(replace(DELIVERED, priority=Priority.REPLAYED), [PARIS], TIMING, NOW)
        assert after.unsent == {"city": "Paris"}
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW + 2 * SECOND, NOW)
        assert after.priority is Priority.LIVE

    def test_waits_again_with_each_change_but_never_longer_than_the_longest_wait(self) -> None:
        waits = replace(DELIVERED, state=RecordState.DUE, waiting_since=NOW, due_at=NOW + 2 * SECOND)
        second, late = NOW + SECOND, NOW + 9 * SECOND
        assert changed(waits, [PARIS], TIMING, second).due_at == second + 2 * SECOND
        assert changed(waits, [PARIS], TIMING, late).due_at == NOW + 10 * SECOND
        assert changed(waits, [PARIS], TIMING, late).waiting_since == NOW

    def test_with_nothing_to_send_it_stays_as_it_was(self) -> None:
        after = changed(DELIVERED, [update("e4", 40, city="Berlin")], TIMING, NOW)
        assert replace(after, fields=DELIVERED.fields) == DELIVERED

    def test_on_its_way_it_keeps_its_lease_and_the_change_stays_unsent(self) -> None:
        sending = replace(record(BERLIN), due_at=EARLIER, waiting_since=EARLIER)
        after = changed(sending, [PARIS], TIMING, NOW)
        assert after == replace(sending, fields=fields_of(BERLIN, PARIS))

    def test_a_failing_one_keeps_its_pace_and_forgets_only_the_cause(self) -> None:
        after = changed(FAILING, [PARIS], TIMING, NOW)
        assert (after.due_at, trouble(after)) == (NOW + DAY, (4, EARLIER, None))

    def test_a_failing_one_whose_turn_has_come_waits_for_its_window(self) -> None:
        for due_at in (EARLIER, None):
            after = changed(replace(FAILING, due_at=due_at, waiting_since=NOW), [PARIS], TIMING, NOW)
            assert after.due_at == NOW + 2 * SECOND

    def test_one_without_failures_is_not_held_to_its_old_time(self) -> None:
        waits = replace(DELIVERED, state=RecordState.DUE, waiting_since=NOW, due_at=NOW + DAY)
        assert changed(waits, [PARIS], TIMING, NOW).due_at == NOW + 2 * SECOND

    def test_a_dead_one_is_tried_again_with_a_whole_new_term(self) -> None:
        after = changed(DEAD, [PARIS], TIMING, NOW)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW + 2 * SECOND, NOW)
        assert trouble(after) == (0, None, None)


class TestRebuilt:
    def test_is_due_at_once_behind_live_changes(self) -> None:
        after = rebuilt(DELIVERED, [PARIS], NOW)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, NOW)
        assert (after.priority, after.unsent) == (Priority.REPLAYED, {"city": "Paris"})

    def test_counts_what_was_removed_too(self) -> None:
        with_archive = replace(DELIVERED, archived=fields_of(PLAN))
        assert rebuilt(with_archive, [BERLIN], NOW).unsent == {"plan": "Pro"}

    def test_with_nothing_to_send_it_is_clean_and_free_of_trouble(self) -> None:
        sent = replace(FAILING, fields=confirm(FAILING.fields, {"city": "Berlin"}))
        after = rebuilt(sent, [BERLIN], NOW)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.CLEAN, None, None)
        assert (after.failing_since, after.cause) == (None, None)

    def test_that_is_due_already_it_keeps_its_time_and_its_trouble(self) -> None:
        assert rebuilt(FAILING, [PARIS], NOW) == replace(FAILING, fields=fields_of(PARIS))

    def test_on_its_way_only_its_fields_change(self) -> None:
        sending = replace(record(BERLIN), due_at=EARLIER, waiting_since=EARLIER)
        assert rebuilt(sending, [PARIS], NOW) == replace(sending, fields=fields_of(PARIS))
        sent = replace(sending, fields=DELIVERED.fields)
        assert rebuilt(sent, [BERLIN], NOW).state is RecordState.LEASED

    def test_a_dead_one_gets_a_whole_new_term(self) -> None:
        after = rebuilt(DEAD, [PARIS], NOW)
        assert (after.state, trouble(after)) == (RecordState.DUE, (0, None, None))


def test_what_removed_updates_came_to_adds_to_what_stays_of_those_before() -> None:
    kept = archived(archived(DELIVERED, [BERLIN]), [PLAN])
    assert kept == replace(DELIVERED, archived=fields_of(BERLIN, PLAN))


class TestJoined:
    one = replace(record(BERLIN, state=RecordState.DUE), due_at=NOW + DAY, waiting_since=EARLIER)
    other = replace(record(PLAN, state=RecordState.DUE), id="lead-2", waiting_since=NOW)

    def test_has_the_fields_of_both_and_is_due_at_once_since_the_older_change(self) -> None:
        for one, other in ((self.one, self.other), (self.other, self.one)):
            after = joined(one, other, NOW)
            assert (after.id, after.unsent) == (one.id, {"city": "Berlin", "plan": "Pro"})
            assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, EARLIER)

    def test_has_what_stays_of_the_removed_updates_of_both(self) -> None:
        one, other = archived(self.one, [BERLIN]), archived(self.other, [PLAN])
        assert joined(one, other, NOW).archived == fields_of(BERLIN, PLAN)

    @pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
    def test_may_be_created_if_one_of_them_may(self, which: tuple[bool, bool]) -> None:
        one, other = replace(self.one, creates=which[0]), replace(self.other, creates=which[1])
        assert joined(one, other, NOW).creates
        assert not joined(self.one, self.other, NOW).creates

    def test_goes_before_replayed_ones_if_one_of_them_does(self) -> None:
        replayed = replace(self.other, priority=Priority.REPLAYED)
        assert joined(self.one, replayed, NOW).priority is Priority.LIVE
        assert joined(replayed, self.one, NOW).priority is Priority.LIVE

    def test_begins_a_new_term(self) -> None:
        assert trouble(joined(FAILING, self.other, NOW)) == (0, None, None)

    def test_with_nothing_to_send_it_is_clean(self) -> None:
        waits = replace(DELIVERED, state=RecordState.DUE, due_at=NOW, waiting_since=EARLIER, cause=CAUSE)
        after = joined(waits, replace(DELIVERED, id="lead-2"), NOW)
        assert (after.state, after.due_at, after.waiting_since, after.cause) == (
            RecordState.CLEAN,
            None,
            None,
            None,
        )

    def test_on_its_way_it_keeps_its_lease_and_its_trouble(self) -> None:
        sending = replace(FAILING, state=RecordState.LEASED, waiting_since=NOW)
        after = joined(sending, self.one, NOW)
        assert (after.state, after.due_at, trouble(after)) == (
            RecordState.LEASED,
            NOW + DAY,
            (4, EARLIER, CAUSE),
        )
        assert after.waiting_since == EARLIER

    def test_of_two_that_wait_for_nothing_it_waits_from_now(self) -> None:
        other = replace(DEAD, id="lead-2")
        assert joined(DELIVERED, other, NOW).unsent == {}, "both say Berlin, and HubSpot has it"
        assert joined(DEAD, other, NOW).waiting_since == NOW


class TestRelinked:
    @pytest.mark.parametrize("code", sorted(NOT_FOUND_CAUSES))
    def test_what_was_not_found_is_looked_for_again_at_once(self, code: str) -> None:
        lost = replace(FAILING, cause=Cause(code, "no such contact", "wait"), waiting_since=EARLIER)
        after = relinked(lost, NOW)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, EARLIER)
        assert trouble(after) == (0, None, None)

    def test_a_dead_one_waits_from_now(self) -> None:
        after = relinked(replace(DEAD, cause=NOT_FOUND), NOW)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, NOW)

    def test_another_failure_is_not_cured_by_an_identifier(self) -> None:
        assert relinked(FAILING, NOW) == FAILING
        assert relinked(DELIVERED, NOW) == DELIVERED

    def test_on_its_way_nothing_changes(self) -> None:
        sending = replace(record(BERLIN), cause=NOT_FOUND)
        assert relinked(sending, NOW) == sending


class TestAfterAnAttempt:
    def test_what_hubspot_took_is_known_to_be_there_and_later_changes_wait_from_now(self) -> None:
        sending = replace(record(BERLIN, PARIS), waiting_since=EARLIER, attempts=2, failing_since=EARLIER)
        after = after_attempt(sending, answered(sets({"city": "Berlin"}), Outcome("done")), NOW, 0.5)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, NOW)
        assert trouble(after) == (0, None, None)
        assert after.unsent == {"city": "Paris"}

    def test_what_was_read_settles_what_is_sent_and_the_change_keeps_its_age(self) -> None:
        fill = record(update("e1", 10, "if_empty", phone="030"), BERLIN)
        sending = replace(fill, waiting_since=EARLIER)
        outcome = Outcome("done", 200, values={"phone": "040"})
        after = after_attempt(sending, answered(reads(["phone"], {"guid": "g"}), outcome), NOW, 0.5)
        assert after.unsent == {"city": "Berlin"}
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, EARLIER)

    def test_who_is_not_found_but_may_be_created_is_so_at_once_as_one_that_has_nothing(self) -> None:
        fill = replace(record(update("e1", 10, "if_empty", phone="030")), attempts=3, cause=CAUSE)
        request = finds([("email", "a@b.c")], may_create=True)
        after = after_attempt(fill, answered(request, Outcome("not_found", 404, NOT_FOUND)), NOW, 0.5)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, NOW)
        assert (after.unsent, trouble(after)) == ({"phone": "030"}, (0, None, None))
        assert after.fields["phone"].base is None

    def test_who_is_not_found_and_may_not_be_created_is_looked_for_later(self) -> None:
        request = finds([("email", "a@b.c")])
        after = after_attempt(
            record(BERLIN), answered(request, Outcome("not_found", 404, NOT_FOUND)), NOW, 1.0
        )
        assert (after.due_at, after.cause) == (NOW + 60 * SECOND, NOT_FOUND)

    def test_who_is_not_there_when_created_is_tried_later(self) -> None:
        request = sets({"city": "Berlin"}, {"email": "a@b.c"}, creates=True)
        after = after_attempt(
            record(BERLIN), answered(request, Outcome("not_found", 404, NOT_FOUND)), NOW, 1.0
        )
        assert (after.due_at, after.cause) == (NOW + 60 * SECOND, NOT_FOUND)

    def test_a_failure_of_a_request_that_looks_for_who_may_be_created_creates_nobody(self) -> None:
        request = finds([("email", "a@b.c")], may_create=True)
        after = after_attempt(record(BERLIN), answered(request, Outcome("again", 500, CAUSE)), NOW, 1.0)
        assert (after.due_at, after.cause) == (NOW + SECOND, CAUSE)


class TestRefused:
    bad = Cause("field_refused", "HubSpot has no option 'Berlin'", "add the option")

    def answer(self) -> Record:
        sending = replace(record(BERLIN, PLAN), attempts=2, failing_since=EARLIER, cause=CAUSE)
        outcome = Outcome("again", 400, refused_fields={"city": self.bad})
        return after_attempt(sending, answered(sets(sending.unsent), outcome), NOW, 0.5)

    def test_the_other_fields_go_again_at_once(self) -> None:
        after = self.answer()
        assert (after.state, after.due_at, trouble(after)) == (RecordState.DUE, NOW, (0, None, None))
        assert after.sendable == {"plan": "Pro"}
        assert after.unsent == {"city": "Berlin", "plan": "Pro"}

    def test_once_they_are_sent_it_is_dead_with_what_was_refused_and_where_it_came_from(self) -> None:
        after = after_attempt(self.answer(), answered(sets({"plan": "Pro"}), Outcome("done")), NOW, 0.5)
        assert (after.state, after.due_at, after.waiting_since) == (RecordState.DEAD, None, None)
        assert after.cause == Cause(
            "field_refused",
            f"city ({PLACE}): HubSpot has no option 'Berlin'. The other fields were sent",
            "add the option",
        )
        assert after.failing_since == NOW

    def test_each_refused_field_is_named_and_each_cure_once(self) -> None:
        other = Cause("field_refused", "read-only", "add the option")
        third = Cause("field_refused", "too long", "shorten it")
        fields = fields_of(update("e1", 10, city="Berlin", plan="Pro", fax="1" * 99))
        after = refused(
            Record(MAIN_ACCOUNT, "lead-1", fields=fields),
            {"city": "Berlin", "plan": "Pro", "fax": "1" * 99},
            {"plan": other, "city": self.bad, "fax": third},
            NOW,
        )
        assert after.state is RecordState.DEAD
        assert after.cause is not None
        assert after.cause.detail == (
            f"city ({PLACE}): HubSpot has no option 'Berlin'; fax ({PLACE}): too long; "
            f"plan ({PLACE}): read-only. The other fields were sent"
        )
        assert after.cause.cure == "add the option; shorten it"

    def test_another_value_of_the_field_is_tried(self) -> None:
        after = changed(self.answer(), [update("e9", 90, city="Oslo")], TIMING, NOW)
        assert after.sendable == {"city": "Oslo", "plan": "Pro"}
        assert held_back_by(after) is None

    def test_it_is_remembered_while_anything_is_unsent_and_forgotten_with_the_last(self) -> None:
        earlier = replace(self.answer(), refused={**self.answer().refused, "fax": Refusal("1", self.bad)})
        again = refused(earlier, {"plan": "Pro"}, {"plan": self.bad}, NOW)
        assert set(again.refused) == {"city", "fax", "plan"}
        sent = replace(again, fields=confirm(again.fields, {"city": "Berlin", "plan": "Pro"}))
        assert at_rest_or_due(sent, NOW).refused == {}

    def test_what_was_refused_stays_so_for_a_value_that_was_blank(self) -> None:
        clears = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(update("e1", 10, city=None)))
        assert refused(clears, {}, {"city": self.bad}, NOW).sendable == {}


class TestFailed:
    @pytest.mark.parametrize("attempts", [0, 3])
    def test_waits_longer_with_each_failure_and_tells_since_when(self, attempts: int) -> None:
        sending = replace(record(BERLIN), attempts=attempts, failing_since=EARLIER if attempts else None)
        after = failed(sending, Outcome("again", 500, CAUSE), NOW, 1.0)
        assert (after.state, after.due_at) == (RecordState.DUE, NOW + 2**attempts * SECOND)
        assert trouble(after) == (attempts + 1, EARLIER if attempts else NOW, CAUSE)

    def test_chance_shortens_the_wait_by_half_at_most(self) -> None:
        after = failed(record(BERLIN), Outcome("again", 500, CAUSE), NOW, 0.0)
        assert after.due_at == NOW + SECOND // 2

    def test_waits_at_least_as_long_as_hubspot_asks(self) -> None:
        after = failed(record(BERLIN), Outcome("again", 503, CAUSE, retry_after=77.0), NOW, 0.5)
        assert after.due_at == NOW + 77 * SECOND

    def test_what_is_about_the_account_neither_counts_nor_is_told_of_the_lead(self) -> None:
        sending = replace(
            record(BERLIN), attempts=2, failing_since=EARLIER, waiting_since=EARLIER, due_at=EARLIER
        )
        after = failed(sending, Outcome("stop", 401, CAUSE), NOW, 1.0)
        assert after == replace(sending, state=RecordState.DUE, due_at=NOW)

    @pytest.mark.parametrize(
        ("kind", "term"), [("again", 3 * DAY), ("not_found", DAY)], ids=["again", "not_found"]
    )
    def test_is_given_up_only_when_its_term_is_over(self, kind: OutcomeKind, term: int) -> None:
        outcome = Outcome(kind, 500, CAUSE)
        at_its_end = failed(replace(record(BERLIN), failing_since=NOW - term), outcome, NOW, 1.0)
        over = failed(replace(record(BERLIN), failing_since=NOW - term - 1), outcome, NOW, 1.0)
        assert at_its_end.state is RecordState.DUE
        assert (over.state, over.failing_since) == (RecordState.DEAD, NOW - term - 1)

    def test_a_rate_limit_is_not_given_up_before_three_days(self) -> None:
        outcome = Outcome("again", 429, CAUSE)
        sending = replace(record(BERLIN), failing_since=NOW - 3 * DAY)
        assert failed(sending, outcome, NOW, 1.0).state is RecordState.DUE

    def test_a_stop_is_never_given_up(self) -> None:
        sending = replace(record(BERLIN), failing_since=NOW - 30 * DAY)
        assert failed(sending, Outcome("stop", 401, CAUSE), NOW, 1.0).state is RecordState.DUE

    @pytest.mark.parametrize("kind", ["set_aside", "not_found", "again"])
    def test_without_a_cause_it_says_that_there_was_no_answer(self, kind: OutcomeKind) -> None:
        sending = replace(record(BERLIN), failing_since=NOW - 4 * DAY)
        after = failed(sending, Outcome(kind), NOW, 1.0)
        assert after.cause == Cause(
            "gave_up",
            "HubSpot could not be reached for this lead in 3 days. Last: no answer",
            "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
        )

    def test_a_dead_one_keeps_when_its_failures_began(self) -> None:
        first = set_aside(record(BERLIN), CAUSE, NOW)
        assert (first.state, first.due_at, first.waiting_since) == (RecordState.DEAD, None, None)
        assert (first.failing_since, first.cause) == (NOW, CAUSE)
        assert set_aside(FAILING, CAUSE, NOW).failing_since == EARLIER
        at_once = failed(record(BERLIN), Outcome("set_aside", 400, CAUSE), NOW, 1.0)
        assert (at_once.failing_since, at_once.attempts) == (NOW, 0)
        at_once = failed(FAILING, Outcome("set_aside", 400, CAUSE), NOW, 1.0)
        assert (at_once.failing_since, at_once.attempts) == (EARLIER, 4)

    def test_what_cannot_be_addressed_yet_waits_as_one_that_is_not_found(self) -> None:
        nobody = Cause("unresolved", "the lead is known by customer only", "tell its email")
        after = not_addressable(record(BERLIN), nobody, NOW, 1.0)
        assert (after.state, after.due_at, after.cause) == (RecordState.DUE, NOW + 60 * SECOND, nobody)
        assert not_addressable(record(BERLIN), nobody, NOW, 0.0).due_at == NOW + 30 * SECOND
        over = not_addressable(replace(record(BERLIN), failing_since=NOW - DAY - 1), nobody, NOW, 1.0)
        assert (over.state, over.cause) == (RecordState.DEAD, nobody)


def test_what_hubspot_no_longer_knows_by_its_id_is_looked_up_again_at_once() -> None:
    after = looked_up_again(replace(DEAD, waiting_since=EARLIER), NOW)
    assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, EARLIER)
    assert trouble(after) == (0, None, None)


def test_what_is_created_keeps_what_hubspot_is_known_to_have() -> None:
    fields = learn(merge(before({"phone": "040"}), [BERLIN]), {"city": "Rome"})
    after = to_be_created(Record(MAIN_ACCOUNT, "lead-1", RecordState.LEASED, fields), NOW)
    assert (after.fields, after.unsent) == (fields, {"city": "Berlin"})


def test_with_only_something_to_read_it_is_due() -> None:
    fill = Record(MAIN_ACCOUNT, "lead-1", fields=fields_of(update("e1", 10, "if_empty", phone="")))
    confirmed = replace(fill, fields=confirm(fill.fields, {"phone": ""}))
    after = at_rest_or_due(confirmed, NOW, EARLIER)
    assert confirmed.sendable == {}
    assert (after.state, after.due_at, after.waiting_since) == (RecordState.DUE, NOW, EARLIER)


STEPS = st.tuples(
    st.sampled_from(["change", "done", "again", "not_found", "set_aside", "stop"]),
    st.integers(0, 4 * DAY),
    st.floats(0, 1),
)


@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_a_record_is_due_dead_with_a_cause_or_has_nothing_to_send(
    steps: list[tuple[OutcomeKind | Literal["change"], int, float]],
) -> None:
    known, now = Record(MAIN_ACCOUNT, "lead-1"), NOW
    for number, (kind, later, chance) in enumerate(steps):
        now += later
        if kind == "change":
            known = changed(known, [update(f"e{number}", number, city=number)], TIMING, now)
        elif known.state is RecordState.DUE:
            outcome = Outcome(kind, None, None if kind == "done" else CAUSE)
            sending = replace(known, state=RecordState.LEASED)
            known = after_attempt(sending, answered(sets(sending.sendable), outcome), now, chance)
        assert (known.state is RecordState.CLEAN) == (not known.unsent)
        assert (known.state is RecordState.DUE) == (known.due_at is not None)
        assert (known.state is RecordState.DUE) == (known.waiting_since is not None)
        assert known.state is not RecordState.DEAD or known.cause is not None
