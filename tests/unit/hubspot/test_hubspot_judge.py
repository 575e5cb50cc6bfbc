"""What HubSpot's answers mean: the words for a person, how long to wait, and which fields are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.core.values import Cause, Outcome
from integration.http.client import Answer, NoAnswer, Why
from integration.hubspot.outcomes import (
    ambiguous,
    classify,
    judged,
    no_such_api,
    not_found,
    nothing_written,
    unreadable,
    used_up_for,
)
from integration.hubspot.refusals import Sent, judge_refusal, judge_row
from integration.lead.properties import PropertyTable
from tests.contracts.destination import NOON
from tests.unit.lead.lead_values import CAUSE, Fields, sets

TABLE = PropertyTable({"closedAt": "time"}, {"plan": "plan__c"})
DAILY, LEFT = "x-hubspot-ratelimit-daily-remaining", "x-hubspot-ratelimit-remaining"
INTERVAL = "x-hubspot-ratelimit-interval-milliseconds"


def answer(content: object, status: int = 400, secrets: tuple[str, ...] = ()) -> Answer:
    return Answer(status, {}, json.dumps(content).encode(), secrets=secrets)


class TestClassify:
    @pytest.mark.parametrize("status", [200, 204, 299])
    def test_success_is_done_and_says_if_the_budget_is_used_up(self, status: int) -> None:
        assert classify(status, {}, "ok", NOON) == Outcome("done", status)
        assert classify(status, {DAILY: "0"}, "ok", NOON) == Outcome("done", status, used_up_for=3600.0)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_token_stops_all(self, status: int) -> None:
        assert classify(status, {"retry-after": "9"}, "expired", NOON) == Outcome(
            "stop",
            status,
            Cause(
                "token_refused",
                f"HubSpot answered {status}: expired. The token is refused.",
                "set HUBSPOT_ACCESS_TOKEN to a token that is valid and may write leads; delivery then "
                "resumes",
            ),
        )

    def test_a_404_is_a_lead_that_is_not_there(self) -> None:
        assert classify(404, {}, "", NOON) == Outcome(
            "not_found",
            404,
            Cause(
                "lead_not_found",
                "HubSpot answered 404. There is no such lead.",
                "create the lead in HubSpot or correct the guid at the source, then retry",
            ),
        )

    @pytest.mark.parametrize("status", [408, 425, 477, 500, 502, 503, 599])
    def test_trouble_that_passes_is_tried_again_when_hubspot_asks_for_it(self, status: int) -> None:
        cause = Cause(
            "hubspot_error",
            f"HubSpot answered {status}: oops",
            "nothing to do: it is tried again; see https://status.hubspot.com",
        )
        assert classify(status, {}, "oops", NOON) == Outcome("again", status, cause)
        assert classify(status, {"retry-after": "9"}, "oops", NOON) == Outcome("again", status, cause, 9.0)

    @pytest.mark.parametrize("status", [199, 300, 301, 400, 402, 405, 409, 422, 499])
    def test_any_other_answer_waits_for_a_person(self, status: int) -> None:
        assert classify(status, {}, "bad", NOON) == Outcome(
            "set_aside",
            status,
            Cause(
                "refused_by_hubspot",
                f"HubSpot answered {status}: bad",
                "correct the mapping or the lead in HubSpot by what the answer says, then retry",
            ),
        )

    @pytest.mark.parametrize(("asked", "seconds"), [(None, 2.0), ("1", 2.0), ("7", 7.0)])
    def test_a_lock_lasts_two_seconds_at_least(self, asked: str | None, seconds: float) -> None:
        headers = {} if asked is None else {"retry-after": asked}
        assert classify(423, headers, "", NOON).retry_after == seconds

    @pytest.mark.parametrize(
        ("headers", "said", "seconds"),
        [
            ({}, "You have reached your daily limit.", 3600.0),
            ({}, "You have reached your ten_secondly_rolling limit.", 10.0),
            ({}, "You have reached your SECONDLY LIMIT.", 1.0),
            ({}, "slow down", None),
            ({DAILY: "0"}, "slow down", 3600.0),
            ({LEFT: "0", INTERVAL: "4000"}, "slow down", 4.0),
            ({"retry-after": "7", DAILY: "0"}, "You have reached your daily limit.", 7.0),
            ({"retry-after": "0"}, "You have reached your daily limit.", 0.0),
        ],
    )
    def test_a_rate_limit_waits_as_asked_else_as_its_policy_says_else_as_the_headers_do(
        self, headers: dict[str, str], said: str, seconds: float | None
    ) -> None:
        outcome = classify(429, headers, said, NOON)
        assert (outcome.kind, outcome.status, outcome.retry_after) == ("again", 429, seconds)
        assert outcome.cause == Cause(
            "rate_limited",
            f"HubSpot answered 429: {said}",
            "nothing to do while it is rare: it is tried again; else lower HUBSPOT_RATE_LIMIT",
        )

    def test_another_answer_waits_only_as_asked(self) -> None:
        assert classify(503, {DAILY: "0"}, "daily limit", NOON).retry_after is None


class TestUsedUp:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({DAILY: "1", LEFT: "1"}, None),
            ({DAILY: "0", LEFT: "5"}, 3600.0),
            ({LEFT: "0"}, 10.0),
            ({LEFT: "0", INTERVAL: "2500"}, 2.5),
            ({LEFT: "0", INTERVAL: "1234567"}, 1234.567),
            ({LEFT: "0", INTERVAL: "12345678"}, 10.0),
            ({LEFT: "0", INTERVAL: "soon"}, 10.0),
            ({LEFT: "1", INTERVAL: "2500"}, None),
        ],
    )
    def test_is_what_the_headers_say(self, headers: dict[str, str], seconds: float | None) -> None:
        assert used_up_for(headers) == seconds


class TestJudged:
    def test_an_answer_is_judged_with_its_words(self) -> None:
        outcome = judged(Answer(503, {"retry-after": "Sat, 23 Nov 2024 12:00:10 GMT"}, b"oops"), NOON)
        assert (outcome.kind, outcome.status, outcome.retry_after) == ("again", 503, 10.0)
        assert outcome.cause is not None
        assert outcome.cause.detail == "HubSpot answered 503: 'oops'"

    @pytest.mark.parametrize(
        ("why", "detail"),
        [(Why.NO_ADDRESS, "HUBSPOT_BASE_URL is not an address"), (Why.UNREACHABLE, "it was cut off")],
    )
    def test_no_answer_is_tried_again(self, why: Why, detail: str) -> None:
        assert judged(NoAnswer(why, "it was cut off"), NOON) == Outcome(
            "again",
            cause=Cause(
                "hubspot_unreachable",
                f"no answer from HubSpot: {detail}",
                "nothing to do while it is rare: it is tried again; else check HUBSPOT_BASE_URL and the "
                "network",
            ),
        )


def test_who_is_not_found_is_looked_for_for_a_day() -> None:
    cure = "create the lead in HubSpot, or let the source send another identifier; it is looked for for a day"
    assert not_found("nobody has it") == Outcome("not_found", 200, Cause("unresolved", "nobody has it", cure))
    assert not_found("gone", "lead_not_found").cause == Cause("lead_not_found", "gone", cure)


def test_of_several_leads_a_person_chooses() -> None:
    assert ambiguous("customer", ["a", "b" * 500]).kind == "set_aside"
    outcome = ambiguous("customer", ["a", "b"])
    assert outcome == Outcome(
        "set_aside",
        200,
        Cause(
            "ambiguous_lead",
            "HubSpot has several leads with this identifier: customer 'a', 'b'",
            "`leadwire leads link customer=VALUE LEAD` with the right one, or merge them in HubSpot; then "
            "retry",
        ),
    )


def test_an_api_that_is_not_there_is_tried_again_and_names_the_settings() -> None:
    assert no_such_api(Outcome("not_found", 404, CAUSE)) == Outcome(
        "again",
        404,
        Cause(
            "api_not_there",
            "HubSpot answered 404: this API is not there, or not in this version",
            "check HUBSPOT_BASE_URL, HUBSPOT_API and HUBSPOT_API_VERSION (`leadwire doctor`); it is tried "
            "again",
        ),
    )


def test_a_success_that_does_not_say_what_it_did_is_tried_again() -> None:
    cure = "nothing to do while it is rare: it is tried again"
    assert nothing_written(207) == Outcome(
        "again",
        207,
        Cause("nothing_written", "HubSpot answered 207 and did not say that this lead was written", cure),
    )
    assert unreadable(Outcome("done", 200)) == Outcome(
        "again", 200, Cause("unreadable_answer", "what HubSpot sent of the lead cannot be read", cure)
    )


WHOLE = Outcome("set_aside", 400, CAUSE)


def sent(fields: Fields, identifiers: dict[str, str] | None = None, *, creates: bool = False) -> Sent:
    request = sets(fields, identifiers, creates=creates)
    return request, TABLE.properties(fields) | ({"email": "a@b.c"} if creates else {})


def bad(
    name: str, code: str = "INVALID_OPTION", value: str | None = None, words: str = "no"
) -> dict[str, Any]:
    item = {"name": name, "error": code, "message": words}
    return item if value is None else {**item, "propertyValue": value}


def listing(*items: dict[str, Any], before: str = "") -> dict[str, Any]:
    return {"message": f"{before}Property values were not valid: {json.dumps(items)}"}


def refusal(content: object, *rows: Sent) -> list[Outcome]:
    return judge_refusal(answer(content), WHOLE, rows, TABLE)


def refused(outcomes: list[Outcome]) -> list[tuple[str, list[str]]]:
    return [(outcome.kind, list(outcome.refused_fields)) for outcome in outcomes]


class TestRefusal:
    rows = (sent({"tier": "gold", "city": "x"}), sent({"tier": "lead"}), sent({"city": "y"}))

    def test_costs_the_rows_with_the_bad_value_that_field_and_the_others_nothing(self) -> None:
        outcomes = refusal(listing(bad("tier", value="lead", words="no such option")), *self.rows)
        cause = Cause(
            "field_refused",
            "HubSpot refuses tier (tier): 'no such option'",
            "correct tier in the mapping, at the source, or as a property in HubSpot; then retry",
        )
        assert outcomes == [
            Outcome("split", 400, CAUSE),
            Outcome("again", 400, cause, refused_fields={"tier": cause}),
            Outcome("split", 400, CAUSE),
        ]

    def test_of_a_value_that_is_not_told_splits_where_rows_have_several(self) -> None:
        content = listing(bad("tier"))
        assert refused(refusal(content, *self.rows)) == [("split", [])] * 3
        assert refused(refusal(content, self.rows[0], self.rows[2])) == [("again", ["tier"]), ("split", [])]
        assert refused(refusal(content, self.rows[0], self.rows[0])) == [("again", ["tier"])] * 2

    @pytest.mark.parametrize(
        ("code", "cure"),
        [
            (
                "PROPERTY_DOESNT_EXIST",
                "create the property plan__c in HubSpot or take plan out of the mapping, then retry",
            ),
            ("READ_ONLY_VALUE", "take plan out of the mapping: HubSpot keeps it itself"),
        ],
    )
    def test_of_a_property_as_such_costs_all_rows_that_have_it_whatever_its_value(
        self, code: str, cure: str
    ) -> None:
        rows = (sent({"plan": "a"}), sent({"plan": "b"}), sent({"city": "x"}))
        outcomes = refusal(listing(bad("plan__c", code, "other", words="w" * 500)), *rows)
        assert refused(outcomes) == [("again", ["plan"]), ("again", ["plan"]), ("split", [])]
        (cause,) = outcomes[0].refused_fields.values()
        assert (cause.cure, len(cause.detail)) == (cure, len("HubSpot refuses plan (plan__c): ") + 200)

    def test_that_names_nothing_of_a_row_alone_is_what_it_is_as_a_whole(self) -> None:
        none: tuple[object, ...] = ({}, [], 5, None, {"message": 5}, {"errors": 5})
        for content in (*none, listing(bad("other")), listing()):
            assert refusal(content, self.rows[0]) == [WHOLE]

    def test_of_several_fields_names_each(self) -> None:
        outcomes = refusal(listing(bad("tier", value="gold"), bad("city", value="x")), self.rows[0])
        assert refused(outcomes) == [("again", ["tier", "city"])]
        assert outcomes[0].cause == outcomes[0].refused_fields["tier"]

    def test_that_names_another_property_first_still_costs_the_field(self) -> None:
        outcomes = refusal(
            listing(bad("other"), bad("tier", value="x"), bad("city", value="x")), self.rows[0]
        )
        assert refused(outcomes) == [("again", ["city"])]

    def test_of_the_stage_that_goes_with_a_close_date_is_one_of_that(self) -> None:
        row = sent({"closedAt": "1704153600000"})
        content = listing(bad("lifecyclestage", value="customer"))
        assert refused(refusal(content, row)) == [("again", ["closedAt"])]
        own = sent({"lifecyclestage": "customer"})
        assert refused(refusal(content, own)) == [("again", ["lifecyclestage"])]

    def test_may_stand_anywhere_in_the_message_and_end_in_words(self) -> None:
        content = listing(bad("city", value="x"), before="Oh no. ")
        content["message"] += " (2 of 7)"
        assert refused(refusal(content, self.rows[0])) == [("again", ["city"])]

    @pytest.mark.parametrize(
        "listed", ["[", "{}", "5", "[5, {}]", '[{"name": ""}]', '{"name": "city"}', "[" * 100_000]
    )
    def test_that_cannot_be_read_names_nothing(self, listed: str) -> None:
        content = {"message": f"Property values were not valid: {listed}"}
        assert refusal(content, self.rows[0]) == [WHOLE]

    def test_passes_over_what_it_cannot_read_of_a_list(self) -> None:
        content = {
            "message": f"Property values were not valid: {json.dumps([5, {}, bad('city', value='x')])}"
        }
        assert refused(refusal(content, self.rows[0])) == [("again", ["city"])]

    def test_may_stand_in_the_list_of_errors(self) -> None:
        error = {"code": "READ_ONLY_VALUE", "message": "kept by us", "context": {"propertyName": ["city"]}}
        outcomes = refusal({"message": "no", "errors": [5, error]}, self.rows[0], self.rows[2])
        assert refused(outcomes) == [("again", ["city"])] * 2
        assert outcomes[0].cause == Cause(
            "field_refused",
            "HubSpot refuses city (city): 'kept by us'",
            "take city out of the mapping: HubSpot keeps it itself",
        )
        within = {"errors": [listing(bad("city", value="x"))]}
        assert refused(refusal(within, self.rows[0])) == [("again", ["city"])]

    def test_in_its_message_stands_before_the_list_of_errors(self) -> None:
        error = {"code": "READ_ONLY_VALUE", "context": {"propertyName": ["tier"]}}
        content = {**listing(bad("city", value="x")), "errors": [error]}
        assert refused(refusal(content, self.rows[0])) == [("again", ["city"])]

    def test_without_words_has_none_and_never_shows_the_token(self) -> None:
        item = {"name": "city", "error": "INVALID", "propertyValue": "x"}
        (outcome,) = refusal(listing(item), self.rows[0])
        assert outcome.cause is not None
        assert outcome.cause.detail == "HubSpot refuses city (city): ''"
        told = answer(listing({**item, "message": "pat-na1-secret is bad"}), secrets=("pat-na1-secret",))
        (outcome,) = judge_refusal(told, WHOLE, self.rows[:1], TABLE)
        assert outcome.cause is not None
        assert "pat-na1-secret" not in outcome.cause.detail
        assert "is bad" in outcome.cause.detail
        error = {"context": {"propertyName": "city"}}
        (outcome,) = refusal({"errors": [error]}, self.rows[0])
        assert outcome.cause is not None
        assert outcome.cause.detail == "HubSpot refuses city (city): ''"

    def test_of_the_email_of_who_would_be_created_waits_for_a_person(self) -> None:
        content = listing(bad("other"), bad("email", "INVALID_EMAIL", "a@b.c", "not an email"))
        fields = {"city": "x"}
        request = sets(fields, {"email": "a@b.c"}, creates=True)
        (outcome,) = judge_refusal(answer(content), WHOLE, [(request, {"city": "x"})], TABLE)
        cause = Cause(
            "field_refused",
            "HubSpot refuses email (email): 'not an email'",
            "correct email in the mapping, at the source, or as a property in HubSpot; then retry",
        )
        assert outcome == Outcome("set_aside", 400, cause)
        known = sets(fields, {"email": "a@b.c", "contact_id": "7"})
        assert judge_refusal(answer(content), WHOLE, [(known, fields)], TABLE) == [WHOLE]
        other = sets(fields, {"email": "b@b.c"}, creates=True)
        assert judge_refusal(answer(content), WHOLE, [(other, fields)], TABLE) == [WHOLE]


class TestRow:
    def judged(self, error: dict[str, Any], fields: Fields | None = None) -> Outcome:
        bundle = sets({"city": "x"} if fields is None else fields)
        return judge_row(error, bundle, TABLE, answer({}, 207, ("pat-secret",)), NOON)

    def test_of_nobody_is_not_found(self) -> None:
        outcome = self.judged({"category": "OBJECT_NOT_FOUND", "message": "no such contact"})
        assert outcome == not_found("HubSpot says: 'no such contact'", "lead_not_found")

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            ({"message": "the words", "category": "NEW"}, "the words"),
            ({"category": "NEW"}, "NEW"),
            ({}, "no reason given"),
            ({"message": "pat-secret"}, "[redacted]"),
        ],
    )
    def test_is_told_in_hubspots_words(self, error: dict[str, Any], said: str) -> None:
        outcome = self.judged(error)
        assert (outcome.kind, outcome.status) == ("set_aside", 400)
        assert outcome.cause is not None
        assert "pat-secret" not in outcome.cause.detail
        assert outcome.cause.detail == f"HubSpot answered 400: {said!r}" or said == "[redacted]"

    def test_of_a_bad_field_costs_that_field(self) -> None:
        outcome = self.judged(listing(bad("city", value="x")), {"city": "x", "plan": "Pro"})
        assert refused([outcome]) == [("again", ["city"])]
        assert outcome.status == 207

    @pytest.mark.parametrize(
        ("error", "kind", "status"),
        [
            ({"status": "error", "category": "RATE_LIMITS"}, "again", 429),
            ({"status": "error", "category": "RATE_LIMIT"}, "again", 429),
            ({"status": "error", "category": "INTERNAL_ERROR"}, "again", 500),
            ({"status": "error", "category": "CONFLICT"}, "set_aside", 409),
            ({"status": "error", "category": "VALIDATION_ERROR"}, "set_aside", 400),
            ({"status": "503"}, "again", 503),
            ({"status": 503, "category": "CONFLICT"}, "again", 503),
        ],
    )
    def test_is_judged_by_its_status_else_its_category(
        self, error: dict[str, Any], kind: str, status: int
    ) -> None:
        outcome = self.judged(error)
        assert (outcome.kind, outcome.status, outcome.retry_after) == (kind, status, None)
