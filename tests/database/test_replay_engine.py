"""Replay: stored events by the mapping as it is now, whatever else goes on; only what differs is sent."""

from __future__ import annotations

import pytest

from integration.core.errors import LeadwireError
from integration.core.values import MAIN_ACCOUNT, Cause, Outcome
from integration.lead.merge import pending
from integration.lead.record import Priority
from integration.pipeline.replay import Counts, compile_where
from integration.store.documents import fields_text
from integration.store.history import Selection
from integration.store.records import claim_due
from integration.store.views.event_views import find_event, list_events
from tests.engine import DAY, MAPPING, SECOND, START, Engine

ANN = {"guid": "ann"}
BOB = {"guid": "bob"}


def states(engine: Engine) -> list[str]:
    with engine.store.read() as connection:
        return [line.state for line in reversed(list_events(connection, MAIN_ACCOUNT, limit=100))]


def test_delivered_history_sends_nothing(engine: Engine) -> None:
    for number in range(3):
        engine.post({"id": f"a{number}", **ANN, "city": f"Rome {number}", "score": 1})
    engine.work()
    assert engine.replay() == Counts(events=3, matched=3)
    assert engine.work() == []


def test_a_mapping_that_only_moved_in_its_file_changes_nothing(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome"})
    engine.work()
    before = fields_text(engine.lead("ann").fields)
    engine.write_mapping(f"# A comment above all rules.\n{MAPPING}")
    assert engine.replay().changed == 0
    assert fields_text(engine.lead("ann").fields) == before, "the line and version that really set it stay"


def test_a_changed_mapping_sends_only_what_differs(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "town": "Ostia", "score": 1})
    engine.post({"id": "b", **BOB, "city": "Oslo", "town": "Oslo", "score": 1})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    assert engine.replay() == Counts(events=2, matched=2, changed=1, leads=1)
    assert engine.work() == [("ann", {"city": "Ostia"})]


@pytest.mark.parametrize(("write", "sent"), [("earliest", "Rome"), ("latest", None)])
def test_a_write_rule_that_alone_is_changed_is_a_change(engine: Engine, write: str, sent: str | None) -> None:
    engine.post({"id": "a", "guid": "ann", "city": "Rome"})
    engine.post({"id": "b", "guid": "ann", "city": "Oslo"})
    assert engine.work() == [("ann", {"city": "Oslo"})]

    engine.change_mapping("city: city", f"city: {{from: city, write: {write}}}")

    planned = engine.plan()
    assert [[field.name for field in lead.fields] for lead in planned.leads] == ([["city"]] if sent else [])
    assert engine.replay().changed == (2 if sent else 0)
    assert engine.work() == ([("ann", {"city": sent})] if sent else [])


def test_a_field_that_is_no_longer_set_stays_at_hubspot(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "score": 1})
    engine.work()
    engine.change_mapping("      city: city\n", "")
    assert engine.replay().changed == 1
    assert engine.work() == []
    assert engine.state("ann")["city"].sent == "Rome"


def test_a_dead_event_is_translated_once_the_mapping_is_mended(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "score": "many"})
    assert engine.work() == []
    assert states(engine) == ["dead"]
    engine.change_mapping("{from: score, write: sum}", "{value: 7, write: sum}")
    assert engine.replay().changed == 1
    assert states(engine) == ["translated"]
    assert engine.work() == [("ann", {"score": 7})]


def test_an_event_that_fails_by_the_new_mapping_takes_its_effect_back(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "score": 5, "points": 5})
    engine.post({"id": "b", **ANN, "score": 2, "points": "many"})
    assert engine.work() == [("ann", {"score": 7})]
    engine.change_mapping("{from: score,", "{from: points,")
    engine.replay()
    assert states(engine) == ["translated", "dead"]
    assert engine.work() == [("ann", {"score": 5})]


def test_an_event_whose_lead_changes_moves(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "owner": "bob", "city": "Rome", "score": 3})
    engine.post({"id": "b", **ANN, "owner": "ann", "city": "Oslo", "score": 4})
    assert engine.work() == [("ann", {"city": "Oslo", "score": 7})]
    engine.change_mapping("guid: guid", "guid: owner")
    assert engine.replay() == Counts(events=2, matched=2, changed=1, leads=2)
    assert sorted(engine.work()) == [("ann", {"score": 4}), ("bob", {"city": "Rome", "score": 3})]


def test_a_sum_counts_each_event_once_however_often_it_is_replayed(engine: Engine) -> None:
    for number in range(4):
        engine.post({"id": f"a{number}", **ANN, "score": number, "city": "Rome", "town": f"T{number}"})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    for _ in range(2):
        engine.replay()
        engine.work()
    assert engine.values("ann") == {"city": "T3", "score": 6}
    assert engine.hubspot.sent == [("ann", {"city": "Rome", "score": 6}), ("ann", {"city": "T3"})]


def test_what_an_interrupted_replay_left_marked_a_worker_rebuilds(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "town": "Ostia"})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    replay = engine.engine
    counts = replay.run(Selection(), None, lambda _: replay.stop())
    assert (counts.changed, replay.stopped) == (1, True)
    assert engine.values("ann") == {"city": "Rome"}
    assert engine.work() == [("ann", {"city": "Ostia"})]
    assert engine.replay().changed == 0


def test_live_changes_that_come_in_between_the_phases_are_kept(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "town": "Ostia", "score": 1})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    replay = engine.engine
    replay.run(Selection(), None, lambda _: replay.stop())
    engine.post({"id": "b", **ANN, "town": "Turin", "score": 2})
    assert engine.work() == [("ann", {"city": "Turin", "score": 3})]


def test_live_changes_go_before_replayed_ones(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "town": "Ostia"})
    engine.work()
    engine.change_mapping("city: city", "city: town")
    engine.replay()
    engine.now += SECOND
    engine.post({"id": "b", **BOB, "town": "Oslo"})
    engine.translate()
    assert (engine.lead("ann").priority, engine.lead("bob").priority) == (Priority.REPLAYED, Priority.LIVE)
    assert engine.lead("ann").due_at < engine.lead("bob").due_at  # type: ignore[operator]
    with engine.store.write() as connection:
        claimed = claim_due(
            connection, MAIN_ACCOUNT, "other", engine.now + SECOND, engine.now + 2 * SECOND, limit=1
        )
    assert [row.id for row in claimed] == [engine.lead("bob").id]


def test_only_what_is_selected(engine: Engine) -> None:
    for number in range(4):
        engine.post({"id": f"a{number}", **ANN, "city": f"C{number}", "type": "paid" if number else "other"})
    engine.work()
    second = START + 2 * SECOND
    assert engine.replay(Selection(type="other")).events == 1
    assert engine.replay(Selection(since=second)).events == 3
    assert engine.replay(Selection(until=second)).events == 1
    assert engine.replay(Selection(source="nobody")).events == 0
    assert engine.replay(where=compile_where("city == 'C2'")) == Counts(events=4, matched=1)


def test_the_condition_looks_at_the_part_of_the_request_that_is_the_event(engine: Engine) -> None:
    engine.change_mapping("event:\n", "event:\n  each: items\n")
    items = [{"id": str(n), "type": "paid", "at": n, "guid": "ann", "score": n} for n in range(9)]
    engine.post({"items": items})
    engine.work()
    assert engine.replay(where=compile_where("score > `6`")) == Counts(events=9, matched=2)


def test_a_condition_that_is_no_jmespath_says_so() -> None:
    with pytest.raises(LeadwireError, match="--where is not a JMESPath expression: "):
        compile_where("city ==")


def test_events_of_a_broken_mapping_are_left_as_they_are(engine: Engine) -> None:
    engine.post({"id": "a", **ANN, "city": "Rome", "score": 1})
    engine.work()
    engine.write_mapping("version: 1\n")
    assert engine.replay() == Counts(events=1, matched=0)
    assert states(engine) == ["translated"]
    assert engine.values("ann") == {"city": "Rome", "score": 1}


class TestPlan:
    def test_it_tells_what_a_replay_would_send_and_does_nothing(self, engine: Engine) -> None:
        event_id = engine.post({"id": "a", **ANN, "city": "Rome", "town": "Ostia", "score": 1}) + "-0"
        engine.work()
        engine.change_mapping("      city: city", "      city: town")
        plan = engine.plan()
        assert plan.counts == Counts(events=1, matched=1, changed=1, leads=1)
        (lead,) = plan.leads
        (field,) = lead.fields
        assert (lead.id, lead.identifiers) == (engine.lead("ann").id, {"guid": "ann"})
        assert (field.name, field.before.sent, field.after.value, field.would_send) == (
            "city", "Rome", "Ostia", True,
        )  # fmt: skip
        assert (field.cause.event_id, field.cause.place) == (event_id, "mappings/shop/mapping.yaml:16")
        assert engine.refold() == 0
        assert engine.values("ann")["city"] == "Rome"
        assert engine.replay().changed == 1

    def test_leads_that_do_not_exist_yet_are_told_by_their_identifiers(self, engine: Engine) -> None:
        engine.post({"id": "a", **ANN, "score": "many", "email": "ann@example.com"})
        engine.post({"id": "b", **ANN, "score": "more"})
        engine.work()
        engine.change_mapping("{from: score, write: sum}", "{value: 7, write: sum}")
        (lead,) = engine.plan().leads
        assert (lead.id, lead.identifiers) == (None, {"guid": "ann", "email": "ann@example.com"})
        assert [(field.name, field.after.value) for field in lead.fields] == [("score", 14)]

    def test_what_would_no_longer_be_sent(self, engine: Engine) -> None:
        engine.post({"id": "a", **ANN, "city": "Rome", "score": 1})
        engine.translate()
        engine.change_mapping("      city: city\n", "")
        ((field,),) = [lead.fields for lead in engine.plan().leads]
        assert (field.name, field.would_send) == ("city", False)
        assert field.cause.place == "mappings/shop/mapping.yaml:16"

    def test_it_tells_of_delivered_history_that_nothing_would_change(self, engine: Engine) -> None:
        engine.post({"id": "a", **ANN, "city": "Rome", "score": 1})
        engine.work()
        assert engine.plan().leads == ()

    def test_it_says_what_the_replay_then_sends(self, engine: Engine) -> None:
        for number in range(6):
            guid = ("ann", "bob")[number % 2]
            engine.post({"id": f"a{number}", "guid": guid, "owner": "cleo", "score": number, "city": "Rome"})
        engine.work()
        engine.change_mapping("guid: guid", "guid: owner")
        engine.change_mapping("      city: city\n", "")
        planned = {
            lead.identifiers["guid"]: {field.name: field.after.value for field in lead.fields}
            for lead in engine.plan().leads
        }
        engine.replay()
        assert dict(engine.work()) == planned


class TestRejected:
    def test_requests_are_accepted_once_after_the_secret_is_mended(self, engine: Engine) -> None:
        engine.environ["SHOP_TOKEN"] = "mistyped"
        engine.post({"id": "a", **ANN, "city": "Rome"})
        engine.post({"id": "b", **ANN, "score": 2}, token="forged")
        engine.environ["SHOP_TOKEN"] = "opensesame"
        would = engine.engine.accept_rejected(Selection(), lambda _: None, dry_run=True)
        assert (would.events, would.changed, states(engine)) == (2, 1, [])
        assert engine.engine.count_rejected(Selection()) == 2
        counts = engine.engine.accept_rejected(Selection(), lambda _: None)
        assert (counts.events, counts.changed) == (2, 1)
        assert engine.work() == [("ann", {"city": "Rome"})]
        again = engine.engine.accept_rejected(Selection(), lambda _: None)
        assert (again.events, again.changed) == (1, 0)
        assert engine.work() == []

    def test_a_request_that_the_sender_repeated_meanwhile_stays_one(self, engine: Engine) -> None:
        engine.environ["SHOP_TOKEN"] = "mistyped"
        engine.post({"id": "a", **ANN, "score": 5})
        engine.environ["SHOP_TOKEN"] = "opensesame"
        repeated = engine.post({"id": "a", **ANN, "score": 5})
        engine.work()
        assert engine.engine.accept_rejected(Selection(), lambda _: None).changed == 1
        engine.work()
        assert engine.values("ann") == {"score": 5}
        assert states(engine) == ["translated"]
        with engine.store.read() as connection:
            assert find_event(connection, MAIN_ACCOUNT, f"{repeated}-0") is not None

    def test_a_handshake_stays_rejected_it_is_no_event(self, engine: Engine) -> None:
        ping = "handshake: [{when: {kind: ping}, body: id, verified: true, reply: '{value}'}]\nevent:\n"
        engine.change_mapping("event:\n", ping)
        engine.environ["SHOP_TOKEN"] = "mistyped"
        engine.post({"id": "a", "kind": "ping", **ANN})
        engine.post({"id": "b", **ANN})
        engine.environ["SHOP_TOKEN"] = "opensesame"

        assert engine.engine.accept_rejected(Selection(), lambda _: None).changed == 1
        assert engine.engine.count_rejected(Selection()) == 1
        engine.work()
        assert states(engine) == ["translated"]

    def test_a_body_that_cannot_be_read_stays_rejected(self, engine: Engine) -> None:
        engine.environ["SHOP_TOKEN"] = "mistyped"
        engine.post({"id": "a", **ANN})
        engine.environ["SHOP_TOKEN"] = "opensesame"
        engine.write_mapping("version: 1\n")
        assert engine.engine.accept_rejected(Selection(), lambda _: None) == Counts(1, 1, 0, 0)


def test_a_dead_lead_whose_changes_were_mended_is_sent_again(engine: Engine) -> None:
    engine.hubspot.outcome = Outcome("set_aside", 400, Cause("refused_by_hubspot", "no such town", "fix"))
    engine.post({"id": "a", **ANN, "city": "Romme", "town": "Rome"})
    engine.work()
    assert engine.lead("ann").state == "dead"
    engine.hubspot.outcome = Outcome("done", 200)
    engine.now += DAY
    engine.change_mapping("city: city", "city: town")
    engine.replay()
    assert engine.work() == [("ann", {"city": "Rome"})]
    assert (engine.lead("ann").state, pending(engine.state("ann"))) == ("clean", {})
