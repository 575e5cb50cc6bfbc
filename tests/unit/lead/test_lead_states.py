"""What becomes of a lead's state beside merging: rebuilt, learned from HubSpot, confirmed, written down."""

from __future__ import annotations

import json

import pytest

from integration.core.values import FieldChange, Update, Wire, WriteRule
from integration.lead.merge import (
    FieldState,
    FieldStates,
    before,
    confirm,
    join,
    learn,
    merge,
    pending,
    rebuild,
    same,
    unread,
)
from integration.store.documents import fields_text, read_fields


def update(event: str, at: int, write: WriteRule = "latest", **fields: Wire | None) -> Update:
    changes = tuple(
        FieldChange(name, value, write, "shop/mapping.yaml:9", "paid") for name, value in fields.items()
    )
    return Update(event, (at, f"shop/{event}"), changes, "version-1")


def values(state: FieldStates) -> dict[str, Wire | None]:
    return {name: field.value for name, field in state.items()}


class TestRebuilt:
    def test_is_what_pruned_and_stored_updates_come_to(self) -> None:
        pruned = merge({}, [update("a", 1, "sum", score=10), update("a2", 1, city="Rome")])
        stored = [update("b", 2, "sum", score=5)]
        current = merge(pruned, stored)
        assert rebuild(current, pruned, stored) == current

    def test_forgets_what_no_update_says_any_more_and_keeps_what_hubspot_has(self) -> None:
        current = confirm(merge({}, [update("a", 1, city="Rome", phone="030")]), {"city": "Rome"})
        rebuilt = rebuild(current, {}, [update("a", 1, phone="040")])
        assert values(rebuilt) == {"city": None, "phone": "040"}
        assert rebuilt["city"].sent == "Rome"
        assert pending(rebuilt) == {"phone": "040"}, "a field that nothing sets stays as it is at HubSpot"

    def test_keeps_what_was_learned_from_hubspot(self) -> None:
        current = learn(merge({}, [update("a", 1, "max", score=5)]), {"score": 7})
        rebuilt = rebuild(current, {}, [update("a", 1, "max", score=6)])
        assert rebuilt["score"].base == 7
        assert pending(rebuilt) == {}

    def test_takes_of_the_pruned_ones_only_what_they_set(self) -> None:
        pruned = learn(merge({}, [update("a", 1, city="Rome")]), {"city": "Oslo"})
        rebuilt = rebuild({}, pruned, [])
        assert values(rebuilt) == {"city": "Rome"}
        assert pending(rebuilt) == {"city": "Rome"}, "what HubSpot has is known from the present state alone"

    def test_of_several_pruned_fields_each_is_kept(self) -> None:
        pruned = merge({}, [update("a", 1, city="Rome", phone="030")])
        assert values(rebuild({}, pruned, [])) == {"city": "Rome", "phone": "030"}


class TestLearned:
    def test_what_hubspot_has_need_not_be_sent(self) -> None:
        state = learn(merge({}, [update("a", 1, city="Rome", phone="030")]), {"city": "Rome"})
        assert pending(state) == {"phone": "030"}
        assert state["city"].base == state["city"].sent == "Rome"
        assert state["city"].event_id == "a", "the change stays"

    def test_a_field_that_no_event_set_is_known_as_well(self) -> None:
        assert learn({}, {"city": "Rome"}) == before({"city": "Rome"})

    def test_if_empty_is_unread_until_then(self) -> None:
        state = merge({}, [update("a", 1, "if_empty", phone="030"), update("b", 2, city="Rome")])
        assert unread(state) == ("phone",)
        assert unread(learn(state, {"phone": None})) == ()
        assert pending(learn(state, {"phone": ""})) == {"phone": "030", "city": "Rome"}
        assert pending(learn(state, {"phone": "040"})) == {"city": "Rome"}


class TestConfirmed:
    def test_a_field_that_was_sent_is_known_to_be_there_and_the_others_are_not(self) -> None:
        state = confirm(merge({}, [update("a", 1, city="Rome", phone="030")]), {"city": "Rome"})
        assert (state["city"].sent, pending(state)) == ("Rome", {"phone": "030"})
        assert state["city"].event_id == "a"

    def test_a_field_that_was_forgotten_meanwhile_is_still_known_to_be_there(self) -> None:
        assert confirm({}, {"city": "Rome"}) == {"city": FieldState(sent="Rome")}


class TestWrittenDown:
    def test_it_is_compact_readable_and_the_same_for_equal_states(self) -> None:
        first = merge({}, [update("a", 1, city="Köln"), update("b", 2, "max", score=3)])
        second = merge({}, [update("b", 2, "max", score=3), update("a", 1, city="Köln")])
        assert fields_text(first) == fields_text(second)
        assert "Köln" in fields_text(first)
        assert fields_text(first) == json.dumps(
            json.loads(fields_text(first)), ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        assert read_fields(fields_text(first)) == first

    def test_what_hubspot_has_is_written_down_only_where_it_is_known(self) -> None:
        state = confirm(merge({}, [update("a", 1, city="Rome", phone="030")]), {"city": "Rome"})
        content = json.loads(fields_text(state))
        assert ("sent" in content["city"], "sent" in content["phone"]) == (True, False)
        assert json.loads(fields_text(before({"city": None}))) == {"city": {"base": None, "sent": None}}


def test_of_two_leads_each_fields_sides_are_known_where_one_knows_them() -> None:
    one, other = before({"city": "Rome"}), merge({}, [update("a", 1, "if_empty", city="Oslo")])
    for joined in (join(one, other), join(other, one)):
        assert joined["city"].base == joined["city"].sent == "Rome"


def test_of_two_leads_a_side_is_known_where_both_say_the_same_and_not_where_they_contradict() -> None:
    one = before({"city": "Rome", "phone": "030"})
    other = before({"city": "Rome", "phone": "040"})
    joined = join(one, other)
    assert (joined["city"].base, joined["city"].sent) == ("Rome", "Rome")
    unknown = FieldState().base
    assert (joined["phone"].base, joined["phone"].sent) == (unknown, unknown)


class TestNumbers:
    @pytest.mark.parametrize(("write", "expected"), [("max", 5.7), ("min", 5.2)])
    def test_decimals_are_compared_whole(self, write: WriteRule, expected: float) -> None:
        for first, second in ((5.2, 5.7), (5.7, 5.2)):
            state = merge({}, [update("a", 1, write, score=first), update("b", 2, write, score=second)])
            assert values(state) == {"score": expected}

    @pytest.mark.parametrize("write", ["max", "min"])
    def test_what_hubspot_has_stands_where_an_event_says_the_same(self, write: WriteRule) -> None:
        state = merge(before({"score": 20}), [update("a", 1, write, score=20)])
        assert (state["score"].event_id, pending(state)) == ("", {})

    def test_a_sum_of_whole_numbers_is_one(self) -> None:
        state = merge({}, [update("a", 1, "sum", score=10), update("b", 2, "sum", score=2.0)])
        assert repr(state["score"].value) == "12"
        assert repr(merge(state, [update("c", 3, "sum", score=0.5)])["score"].value) == "12.5"

    def test_a_text_adds_nothing_to_a_sum_not_even_its_time(self) -> None:
        counted = merge({}, [update("a", 1, "sum", score=10)])
        assert merge(counted, [update("b", 2, "sum", score="many")]) == counted

    def test_what_is_no_number_of_json_is_never_written_down(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            fields_text(before({"score": float("nan")}))


def test_nothing_is_the_same_as_what_is_unknown() -> None:
    unknown = FieldState().sent
    assert not same(unknown, None)
    assert not same(None, unknown)
    assert not same(unknown, unknown)
    assert not same("Rome", unknown)
