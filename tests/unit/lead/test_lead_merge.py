from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.core.values import FieldChange, Update, Wire, WriteRule
from integration.lead.merge import (
    UNKNOWN,
    FieldState,
    FieldStates,
    before,
    confirm,
    has_pending,
    join,
    merge,
    pending,
    same,
)
from integration.store.documents import fields_text, read_fields

PLACE = "mappings/stripe/mapping.yaml:14"


def change(name: str, value: Wire | None, write: WriteRule = "latest", place: str = PLACE) -> FieldChange:
    return FieldChange(name, value, write, place, "a rule")


def update(time: int, *changes: FieldChange, event_id: str | None = None, key: str = "stripe/evt") -> Update:
    return Update(event_id or f"event-{time}", (time, key), changes, "version-1")


def settled(state: FieldStates) -> dict[str, Wire | None]:
    return {name: field.value for name, field in state.items()}


def folded(name: str, write: WriteRule, *values: Wire | None, onto: FieldStates | None = None) -> Wire | None:
    """The value after changes at the times 1, 2, 3 ..."""
    updates = [update(time, change(name, value, write)) for time, value in enumerate(values, start=1)]
    return merge(onto or {}, updates)[name].value


class TestWriteRules:
    def test_latest_takes_the_newest_of_each_field_whatever_other_fields_saw(self) -> None:
        first, second, third = (
            update(10, change("city", "old")),
            update(20, change("plan", "Pro")),
            update(15, change("city", "new")),
        )
        state = merge({}, [first, second, third])
        assert settled(state) == {"city": "new", "plan": "Pro"}
        assert (state["city"].clock, state["city"].event_id) == ((15, "stripe/evt"), "event-15")

    def test_a_late_event_does_not_undo_a_newer_one(self) -> None:
        state = merge({}, [update(20, change("city", "new"))])
        assert merge(state, [update(10, change("city", "old"))]) == state

    def test_equal_times_are_settled_by_the_event_key(self) -> None:
        one, other = update(5, change("city", "A"), key="a/1"), update(5, change("city", "B"), key="b/1")
        other = Update("event-other", other.clock, other.changes, other.mapping_version)
        assert merge({}, [one, other])["city"].value == "B"
        assert merge({}, [other, one])["city"].value == "B"

    @pytest.mark.parametrize(
        ("write", "values", "expected"),
        [
            ("latest", ["a", "b", "c"], "c"),
            ("earliest", ["a", "b", "c"], "a"),
            ("max", [9, 100, 20.5], 100),
            ("min", [9, 100, 8.5], 8.5),
            ("max", ["999999999999", "1323293954000", "5"], "1323293954000"),
            ("min", ["999999999999", "1323293954000"], "999999999999"),
            ("max", ["Basic", "Pro", "Gold"], "Pro"),
            ("sum", [1, 2, 39], 42),
            ("sum", [0.1, 0.2, 0.3], 0.6),
            ("sum", [19.99, -19.99], 0),
            ("if_empty", ["a", "b"], "a"),
        ],
    )
    def test_settles_competing_values(self, write: WriteRule, values: list[Wire], expected: Wire) -> None:
        updates = [update(time, change("field", value, write)) for time, value in enumerate(values)]
        assert settled(merge({}, updates)) == {"field": expected}
        assert settled(merge({}, updates[::-1])) == {"field": expected}

    def test_clear_competes_under_latest_and_earliest(self) -> None:
        assert folded("city", "latest", "Cambridge", None) is None
        assert folded("city", "latest", None, "Cambridge") == "Cambridge"
        assert folded("city", "earliest", None, "Cambridge") is None

    @pytest.mark.parametrize("write", ["max", "min", "sum", "if_empty"])
    def test_clear_takes_no_part_under_the_other_rules(self, write: WriteRule) -> None:
        assert folded("score", write, 5, None) == 5
        assert merge({}, [update(1, change("score", None, write))]) == {}

    @pytest.mark.parametrize("value", ["5", True])
    def test_what_is_no_number_takes_no_part_in_a_sum(self, value: Wire) -> None:
        assert folded("score", "sum", 5, value) == 5

    def test_an_event_given_twice_counts_once(self) -> None:
        paid = update(1, change("total", 20, "sum"))
        assert merge({}, [paid, paid])["total"].value == 20

    def test_a_sum_tells_the_newest_event_that_counted(self) -> None:
        state = merge({}, [update(2, change("total", 1, "sum")), update(1, change("total", 1, "sum"))])
        assert (state["total"].value, state["total"].event_id) == (2, "event-2")

    def test_a_sum_beyond_64_bits_is_a_decimal(self) -> None:
        assert repr(folded("total", "sum", 2**62, 2**62)) == repr(float(2**63))
        assert repr(folded("total", "sum", 2**62, 2**62 - 1)) == str(2**63 - 1)


class TestDifferentWriteRulesForOneField:
    def test_the_rule_of_the_newest_change_governs(self) -> None:
        first, second, third = (
            update(1, change("plan", "a", "earliest")),
            update(2, change("plan", "b", "latest")),
            update(3, change("plan", "c", "earliest")),
        )
        assert merge({}, [first, second])["plan"].value == "b"
        state = merge({}, [third, second, first])
        assert (state["plan"].value, state["plan"].write) == ("a", "earliest")

    def test_a_change_that_lost_still_counts_as_the_newest(self) -> None:
        changes = [change("score", 9, "max"), change("score", 5, "latest"), change("score", 2, "max")]
        updates = [update(time, item) for time, item in enumerate(changes)]
        assert merge({}, updates)["score"].value == 9

    def test_if_empty_yields_to_every_other_rule(self) -> None:
        updates = [update(1, change("city", "mine", "latest")), update(2, change("city", "fill", "if_empty"))]
        assert merge({}, updates)["city"].value == "mine"


class TestTheValueFromBeforeAnyEvent:
    @pytest.mark.parametrize(
        ("write", "base", "value", "expected"),
        [
            ("latest", "there", "new", "new"),
            ("latest", "there", None, None),
            ("earliest", "1700000000000", "1600000000000", "1700000000000"),
            ("earliest", "", "1600000000000", "1600000000000"),
            ("if_empty", "there", "fill", "there"),
            ("if_empty", "", "fill", "fill"),
            ("if_empty", 0, 5, 0),
            ("max", 10, 9, 10),
            ("max", 10, 11, 11),
            ("min", 10, 9, 9),
            ("min", 10, 11, 10),
            ("max", "", 11, 11),
            ("sum", 100, 20, 120),
            ("sum", "", 20, 20),
        ],
    )
    def test_meets_a_change(self, write: WriteRule, base: Wire, value: Wire | None, expected: Wire) -> None:
        state = merge(before({"field": base}), [update(1, change("field", value, write))])
        assert state["field"].value == expected
        assert pending(state) == ({} if same(base, expected) else {"field": expected})

    def test_alone_needs_no_request_and_names_no_event(self) -> None:
        state = before({"city": "Cambridge"})
        assert pending(state) == {}
        field = state["city"]
        assert (field.value, field.write, field.clock) == ("Cambridge", None, None)
        assert (field.event_id, field.place, field.mapping_version) == ("", "", "")


class TestPending:
    def test_holds_what_hubspot_was_never_told(self) -> None:
        state = merge({}, [update(1, change("city", "Cambridge"), change("fax", None))])
        assert pending(state) == {"city": "Cambridge", "fax": None}

    def test_is_empty_after_confirmation(self) -> None:
        state = merge({}, [update(1, change("city", "Cambridge"), change("fax", None))])
        assert pending(confirm(state, pending(state))) == {}
        assert has_pending(state)
        assert not has_pending(confirm(state, pending(state)))

    def test_leaves_out_a_value_that_changed_and_changed_back(self) -> None:
        state = merge({}, [update(1, change("city", "A"))])
        state = confirm(state, pending(state))
        state = merge(state, [update(2, change("city", "B")), update(3, change("city", "A"))])
        assert pending(state) == {}

    def test_keeps_what_arrived_while_the_request_was_on_its_way(self) -> None:
        state = merge({}, [update(1, change("city", "A"), change("fax", "1"))])
        on_its_way = pending(state)
        state = merge(state, [update(2, change("city", "B"))])
        assert pending(confirm(state, on_its_way)) == {"city": "B"}

    def test_names_the_event_the_line_and_the_version_behind_a_field(self) -> None:
        field = merge({}, [update(1, change("city", "A"))])["city"]
        assert (field.event_id, field.place, field.mapping_version) == ("event-1", PLACE, "version-1")


class TestSameness:
    @pytest.mark.parametrize(
        ("one", "other"), [(20, 20.0), (None, ""), ("", None), ("a", "a"), (True, True), (None, None)]
    )
    def test_same(self, one: Wire | None, other: Wire | None) -> None:
        assert same(one, other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [(1, True), (0, False), (0, None), (False, ""), (20, "20"), (None, UNKNOWN), (UNKNOWN, UNKNOWN)],
    )
    def test_different(self, one: Wire | None, other: Wire | None) -> None:
        assert not same(one, other)


class TestStoredState:
    def test_is_small(self) -> None:
        text = fields_text(merge({}, [update(17, change("city", "Cambridge"))]))
        assert json.loads(text) == {
            "city": {"l": ["Cambridge", 17, "stripe/evt", "event-17", PLACE, "version-1"]}
        }

    def test_has_a_sum_as_exact_text_from_its_first_change(self) -> None:
        text = fields_text(merge({}, [update(17, change("total", 0.1, "sum"))]))
        assert json.loads(text)["total"]["s"][0] == "0.1"

    def test_of_nothing(self) -> None:
        assert read_fields(fields_text({})) == {}


FIELDS = ["city", "plan", "total"]
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=5) | st.sampled_from(["9", "10", "Pro"])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300) | st.sampled_from([0.1, 0.2, 1, 1.0])
VALUES = st.none() | st.booleans() | TEXTS | NUMBERS
RULES: Sequence[WriteRule] = ["latest", "earliest", "max", "min", "sum", "if_empty"]


@st.composite
def many_updates(draw: st.DrawFn, rules: Sequence[WriteRule] = RULES) -> list[Update]:
    """Updates of distinct events, with ties in time."""
    changes = st.builds(change, st.sampled_from(FIELDS), VALUES, st.sampled_from(rules))
    drawn = draw(
        st.lists(
            st.tuples(st.integers(1, 6), st.lists(changes, max_size=3, unique_by=lambda c: c.field)),
            max_size=12,
        )
    )
    return [
        Update(f"event-{index}", (time, f"source/{index}"), tuple(items), "v")
        for index, (time, items) in enumerate(drawn)
    ]


@st.composite
def batched(draw: st.DrawFn, updates: list[Update], *, repeat: bool) -> list[list[Update]]:
    """The updates in any order, cut anywhere; with `repeat`, some come again in later batches."""
    again = draw(st.lists(st.sampled_from(updates), max_size=5)) if repeat and updates else []
    shuffled = draw(st.permutations(updates + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    return [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


def merged_in_batches(batches: list[list[Update]], onto: FieldStates, *, send: bool) -> FieldStates:
    for batch in batches:
        onto = merge(onto, batch)
        if send:
            onto = confirm(onto, pending(onto))
    return onto


BASES = st.dictionaries(st.sampled_from(FIELDS), TEXTS | NUMBERS | st.booleans(), max_size=2)


class TestLaws:
    @settings(deadline=None, max_examples=300)
    @given(st.data(), BASES)
    def test_any_order_and_batches_give_the_same_state(
        self, data: st.DataObject, base: dict[str, Wire]
    ) -> None:
        updates = data.draw(many_updates())
        batches = data.draw(batched(updates, repeat=False))
        expected = merge(before(base), updates)
        assert fields_text(merged_in_batches(batches, before(base), send=False)) == fields_text(expected)

    @settings(deadline=None, max_examples=200)
    @given(st.data(), BASES)
    def test_sending_in_between_changes_no_value(self, data: st.DataObject, base: dict[str, Wire]) -> None:
        updates = data.draw(many_updates())
        batches = data.draw(batched(updates, repeat=False))
        state = merged_in_batches(batches, before(base), send=True)
        assert settled(state) == settled(merge(before(base), updates))
        assert pending(state) == {}

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_repeats_in_any_batch_change_nothing_but_a_sum(self, data: st.DataObject) -> None:
        updates = data.draw(many_updates([rule for rule in RULES if rule != "sum"]))
        batches = data.draw(batched(updates, repeat=True))
        assert fields_text(merged_in_batches(batches, {}, send=False)) == fields_text(merge({}, updates))

    @settings(deadline=None, max_examples=200)
    @given(st.data(), many_updates())
    def test_two_leads_that_are_one_have_the_state_of_all_their_updates(
        self, data: st.DataObject, updates: list[Update]
    ) -> None:
        distinct = list({update.event_id: update for update in updates}.values())
        ones = data.draw(st.lists(st.booleans(), min_size=len(distinct), max_size=len(distinct)))
        one = merge({}, [update for update, mine in zip(distinct, ones, strict=True) if mine])
        other = merge({}, [update for update, mine in zip(distinct, ones, strict=True) if not mine])
        assert (
            fields_text(join(one, other)) == fields_text(join(other, one)) == fields_text(merge({}, distinct))
        )

    @settings(deadline=None, max_examples=200)
    @given(many_updates())
    def test_repeats_in_one_call_change_nothing(self, updates: list[Update]) -> None:
        assert fields_text(merge({}, updates + updates)) == fields_text(merge({}, updates))

    @settings(deadline=None, max_examples=200)
    @given(st.data(), many_updates(), BASES)
    def test_the_stored_state_reads_back_as_it_was(
        self, data: st.DataObject, updates: list[Update], base: dict[str, Wire]
    ) -> None:
        state = merge(before(base), updates)
        sent = pending(state) if data.draw(st.booleans()) else {}
        state = confirm(state, sent)
        assert read_fields(fields_text(state)) == state
        assert fields_text(read_fields(fields_text(state))) == fields_text(state)


def test_of_two_leads_that_are_one_only_what_both_agree_on_is_known_to_be_at_hubspot() -> None:
    one = confirm(
        merge({}, [update(1, change("city", "A"), change("plan", "P"))]), {"city": "A", "plan": "P"}
    )
    other = confirm(merge({}, [update(2, change("city", "B"))]), {"city": "B"})
    state = join(one, other)
    assert pending(state) == {"city": "B"}
    assert state["plan"].sent == "P"


def test_a_field_without_changes_is_blank() -> None:
    assert FieldState().value is None
    assert pending({"city": FieldState()}) == {}
