"""Rehearsing a request: the same outcome as in earnest, nothing stored or sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integration.authoring.rehearse import NOT_SENT, Difference, Rehearsal, TestResult, rehearse, run_test
from integration.body import MalformedBody
from integration.config.sources import Configuration, Source, load_configuration
from integration.core.values import MAIN_ACCOUNT, Identifier, Ignored, RawRequest
from integration.lead.merge import before

LIMIT = 10_000
MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event:
  each: events
  id: id
  type: type
  time: {from: at, as: unix_seconds}
lead:
  guid: guid
  email: email
rules:
  - name: paid
    events: [paid]
    set:
      closedAt: {from: at, as: unix_seconds, write: earliest}
      city: city
      score: {from: score, missing: skip}
tests:
  - {name: case, given: mapping.yaml, expect: {city: Rome}}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    folder = tmp_path / "mappings" / "shop"
    folder.mkdir(parents=True)
    (folder / "mapping.yaml").write_text(MAPPING)
    configuration = load_configuration(tmp_path / "mappings", {})
    assert configuration.problems == ()
    return configuration


@pytest.fixture
def source(configuration: Configuration) -> Source:
    source = configuration.sources["shop"]
    assert isinstance(source, Source)
    return source


def event(id: str, at: int, guid: str | None = "8a41", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "paid", "at": at, "guid": guid, **more}


def request(*events: dict[str, Any]) -> RawRequest:
    return RawRequest(
        MAIN_ACCOUNT, "shop", "POST", "/hooks/shop", "", {}, json.dumps({"events": events}).encode(), 1
    )


def rehearsed(configuration: Configuration, source: Source, *events: dict[str, Any]) -> Rehearsal:
    return rehearse(configuration, source, request(*events), max_body_bytes=LIMIT)


def test_events_of_a_lead_merge_by_their_times_whatever_their_order(
    configuration: Configuration, source: Source
) -> None:
    found = rehearsed(
        configuration,
        source,
        event("2", 200, city="Rome"),
        event("1", 100, city="Oslo", email="a@example.com"),
    )
    (lead,) = found.leads
    assert lead.would_send == {"closedAt": "100000", "city": "Rome"}
    assert lead.identifiers == (Identifier("guid", "8a41"), Identifier("email", "a@example.com"))


def test_leads_are_told_apart_and_joined_by_any_identifier(
    configuration: Configuration, source: Source
) -> None:
    found = rehearsed(
        configuration,
        source,
        event("1", 100, city="Oslo", email="a@example.com"),
        event("2", 100, guid="8a42", city="Bern"),
        event("3", 200, guid=None, city="Rome", email="a@example.com"),
    )
    assert [lead.would_send["city"] for lead in found.leads] == ["Rome", "Bern"]


def test_what_hubspot_has_already_is_not_sent(configuration: Configuration, source: Source) -> None:
    lead = before({"closedAt": "5000", "city": "Oslo"})
    found = rehearse(
        configuration, source, request(event("1", 100, city="Rome")), max_body_bytes=LIMIT, lead=lead
    )
    assert found.leads[0].would_send == {"city": "Rome"}


def test_ignored_and_dead_events_update_nothing_and_say_why(
    configuration: Configuration, source: Source
) -> None:
    found = rehearsed(
        configuration,
        source,
        event("1", 100, type="seen"),
        event("2", 100, guid=None),
        event("3", 100, score="x"),
    )
    ignored, dead, invalid = found.events
    assert ignored.translation.meaning == Ignored("no rule for event type seen")
    assert dead.dead is not None
    assert dead.dead.code == "missing_lead"
    assert invalid.dead is not None
    assert invalid.dead.code == "invalid_field"
    assert "mappings/shop/mapping.yaml:19" in invalid.dead.detail
    assert found.leads == ()


def test_of_two_copies_in_one_request_the_first_counts(configuration: Configuration, source: Source) -> None:
    found = rehearsed(configuration, source, event("1", 100, city="Oslo"), event("1", 100, city="Rome"))
    assert [item.duplicate for item in found.events] == [False, True]
    assert found.leads[0].would_send["city"] == "Oslo"


def test_every_step_is_traced(configuration: Configuration, source: Source) -> None:
    (item,) = rehearsed(configuration, source, event("1", 100, city="Oslo")).events
    assert "rules[0].set.city" in [step.path for step in item.translation.steps]


def test_a_body_that_cannot_be_read_is_the_callers_to_tell(
    configuration: Configuration, source: Source
) -> None:
    with pytest.raises(MalformedBody):
        rehearse(configuration, source, replace(request(), body=b"{"), max_body_bytes=LIMIT)


class TestMappingTests:
    """How one entry under `tests:` ends."""

    def run(
        self, configuration: Configuration, source: Source, *events: dict[str, Any], **case: Any
    ) -> TestResult:
        (template,) = source.mapping.tests
        test = replace(template, **case)
        return run_test(configuration, source, test, request(*events), max_body_bytes=LIMIT)

    def test_passes_when_exactly_the_expected_fields_would_be_sent(
        self, configuration: Configuration, source: Source
    ) -> None:
        expect = {"city": "Rome", "score": 7.0}
        found = self.run(
            configuration, source, event("1", 100, city="Rome", score=7),
            expect=expect, lead_before={"closedAt": "100000"},
        )  # fmt: skip
        assert (found.failure, found.differences) == (None, ())

    def test_names_each_field_that_differs_and_the_line_that_sets_it(
        self, configuration: Configuration, source: Source
    ) -> None:
        found = self.run(
            configuration, source, event("1", 100, city="Oslo"), expect={"city": "Rome", "zip": "1"}
        )
        assert found.failure == "the fields that would be sent are others"
        assert found.differences == (
            Difference("city", "Rome", "Oslo", "mappings/shop/mapping.yaml:18"),
            Difference("zip", "1", NOT_SENT, ""),
            Difference("closedAt", NOT_SENT, "100000", "mappings/shop/mapping.yaml:17"),
        )

    def test_looks_at_the_event_at_its_position_alone(
        self, configuration: Configuration, source: Source
    ) -> None:
        events = event("1", 100, city="Oslo"), event("2", 200, city="Rome")
        expect = {"closedAt": "200000", "city": "Rome"}
        assert self.run(configuration, source, *events, position=1, expect=expect).failure is None
        missing = self.run(configuration, source, *events, position=2, expect=expect)
        assert missing.failure == "the payload has no event at position 2"

    @pytest.mark.parametrize(
        ("payload", "case", "failure"),
        [
            pytest.param(
                event("1", 100, type="seen"), {},
                "expected an update, got no update: no rule for event type seen", id="ignored",
            ),
            pytest.param(
                event("1", 100, city="Rome"), {"expect": None, "expect_ignored": True},
                "expected no update, got an update of closedAt, city", id="not ignored",
            ),
            pytest.param(
                event("1", 100, city="Rome"), {"expect": None, "expect_dead": "missing_lead"},
                "expected a dead letter (missing_lead), got an update of closedAt, city", id="not dead",
            ),
            pytest.param(
                event("1", 100, type="seen"), {"expect": None, "expect_ignored": True}, None, id="as ignored"
            ),
            pytest.param(
                event("1", 100, guid=None), {"expect": None, "expect_dead": "missing_lead"}, None, id="dead"
            ),
        ],
    )  # fmt: skip
    def test_the_kind_of_outcome_counts_too(
        self,
        configuration: Configuration,
        source: Source,
        payload: dict[str, Any],
        case: dict[str, Any],
        failure: str | None,
    ) -> None:
        assert self.run(configuration, source, payload, **case).failure == failure

    def test_a_dead_letter_is_told_with_cause_and_cure(
        self, configuration: Configuration, source: Source
    ) -> None:
        found = self.run(configuration, source, event("1", 100, score="x"))
        assert found.failure is not None
        beginning = "expected an update, got a dead letter (invalid_field): mappings/shop/mapping.yaml:19"
        assert found.failure.startswith(beginning)

    def test_a_payload_that_cannot_be_read_fails_the_test(
        self, configuration: Configuration, source: Source
    ) -> None:
        broken = replace(request(), body=b"{")
        found = run_test(configuration, source, source.mapping.tests[0], broken, max_body_bytes=LIMIT)
        assert found.failure is not None
        assert found.failure.startswith("the payload cannot be read: ")
