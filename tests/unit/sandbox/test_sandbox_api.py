from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from integration.core.settings import RateLimit
from integration.core.values import Micros
from integration.sandbox import create_sandbox
from integration.sandbox.stand_in import Window

GUID = "8a41f2f22906b93a012906b9438f0008"
UNKNOWN_GUID = "f" * 32
START_MS = 1_700_000_000_000
SECOND = 1_000_000
NOT_EDITABLE = (
    "guid id leadId isCustomer lastConvertedAt lastModifiedAt leadJsonLink leadLink leadNurturingActive "
    "LeadNurturingActive numConversionEvents portalId publicLeadLink sourceValueModifiedAt analyticsDetails "
    "crmDetails leadConversionEvents"
)


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at: Micros = START_MS * 1000

    def __call__(self) -> Micros:
        return self.at


class Driver:
    """Speaks to the stand-in in process."""

    def __init__(self, rate_limit: RateLimit | None = None, access_token: str | None = None) -> None:
        self.clock = FakeClock()
        self.slept: list[float] = []
        app = create_sandbox(rate_limit, self.clock, access_token, self.slept.append)
        self.http: FlaskClient = app.test_client()

    def seed(self, guid: str = GUID, **fields: Any) -> None:
        assert self.http.put(f"/_sandbox/leads/{guid}", json=fields).status_code == 200

    def put(self, guid: str = GUID, **fields: Any) -> TestResponse:
        return self.http.put(f"/leads/v1/lead/{guid}?access_token=secret", json={"guid": guid, **fields})

    def put_raw(self, content: bytes, content_type: str = "application/json") -> TestResponse:
        url = f"/leads/v1/lead/{GUID}?access_token=secret"
        return self.http.put(url, data=content, content_type=content_type)

    def list(self, **asked: str) -> list[dict[str, Any]]:
        response = self.http.get("/leads/v1/list", query_string={"access_token": "secret", **asked})
        assert response.status_code == 200, response.text
        return list(response.json)  # type: ignore[arg-type]

    def lead(self, guid: str = GUID) -> dict[str, Any]:
        return dict(self.http.get(f"/_sandbox/leads/{guid}").json)  # type: ignore[arg-type]

    def requests(self, since: int = 0) -> Any:
        return self.http.get(f"/_sandbox/requests?since={since}").json

    def fault(self, **content: Any) -> TestResponse:
        return self.http.post("/_sandbox/faults", json=content)


@pytest.fixture
def sandbox() -> Driver:
    driver = Driver()
    driver.seed(email="jane@example.com")
    return driver


class TestUpdate:
    def test_answers_200_with_nothing_in_it(self, sandbox: Driver) -> None:
        response = sandbox.put(city="Cambridge")
        assert (response.status_code, response.data) == (200, b"")
        assert sandbox.lead()["city"] == "Cambridge"

    def test_takes_a_slash_at_the_end_without_a_redirect(self, sandbox: Driver) -> None:
        url = f"/leads/v1/lead/{GUID}/?access_token=secret"
        assert sandbox.http.put(url, json={"guid": GUID, "city": "Cambridge"}).status_code == 200
        assert sandbox.lead()["city"] == "Cambridge"

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
    def test_of_another_content_type_is_answered_and_not_applied(
        self, sandbox: Driver, content_type: str
    ) -> None:
        body = json.dumps({"guid": GUID, "city": "Cambridge"}).encode()
        assert sandbox.put_raw(body, content_type).status_code == 200
        assert sandbox.lead()["city"] == ""
        (entry,) = sandbox.requests()
        assert entry["applied"] is False
        assert entry["why"] == "the content type is not application/json"

    def test_may_name_the_charset(self, sandbox: Driver) -> None:
        body = json.dumps({"guid": GUID, "city": "Cambridge"}).encode()
        assert sandbox.put_raw(body, "application/json; charset=utf-8").status_code == 200
        assert sandbox.lead()["city"] == "Cambridge"

    @pytest.mark.parametrize("body", [{}, {"guid": UNKNOWN_GUID}, {"id": UNKNOWN_GUID}, {"guid": None}])
    def test_must_hold_the_guid_of_the_url(self, sandbox: Driver, body: dict[str, Any]) -> None:
        response = sandbox.put_raw(json.dumps({**body, "city": "Cambridge"}).encode())
        assert response.status_code == 400
        assert response.text == "the body must hold the guid of the URL as guid"
        assert sandbox.lead()["city"] == ""

    def test_may_hold_the_guid_as_id(self, sandbox: Driver) -> None:
        assert sandbox.put_raw(json.dumps({"id": GUID, "city": "Cambridge"}).encode()).status_code == 200
        assert sandbox.lead()["city"] == "Cambridge"

    @pytest.mark.parametrize("name", sorted(set(NOT_EDITABLE.split()) - {"guid"}))
    def test_of_a_field_that_is_not_editable_is_refused_whole(self, sandbox: Driver, name: str) -> None:
        response = sandbox.put(city="Cambridge", **{name: "x"})
        assert (response.status_code, response.text) == (400, f"not editable: {name}")
        assert sandbox.lead()["city"] == ""

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"score": NaN}', b"[" * 100_000])
    def test_that_is_no_json_object_is_refused(self, sandbox: Driver, body: bytes) -> None:
        assert sandbox.put_raw(body).status_code == 400

    def test_of_an_unknown_lead_is_404(self, sandbox: Driver) -> None:
        assert sandbox.put(UNKNOWN_GUID, city="Cambridge").status_code == 404

    @pytest.mark.parametrize("closed_at", [1323293954000, "1323293954000"])
    @pytest.mark.parametrize("blank", ["", 0, "0"])
    def test_of_closed_at_closes_and_opens_the_lead(
        self, sandbox: Driver, closed_at: Any, blank: Any
    ) -> None:
        sandbox.put(closedAt=closed_at)
        assert (sandbox.lead()["closedAt"], sandbox.lead()["isCustomer"]) == (1323293954000, True)
        assert sandbox.lead()["customerStatusModifiedAt"] == START_MS
        sandbox.put(closedAt=blank)
        assert (sandbox.lead()["closedAt"], sandbox.lead()["isCustomer"]) == (0, False)

    @pytest.mark.parametrize(
        ("name", "given", "stored"),
        [
            ("isDeleted", True, True),
            ("isDeleted", "true", True),
            ("score", "7", 7),
            ("score", 7, 7),
            ("city", "", ""),
            ("score", "", 0),
            ("lastPayment", 20.5, 20.5),
            ("plan", "", ""),
        ],
    )
    def test_stores_values_by_their_type(self, sandbox: Driver, name: str, given: Any, stored: Any) -> None:
        assert sandbox.put(**{name: given}).status_code == 200
        assert sandbox.lead()[name] == stored
        assert type(sandbox.lead()[name]) is type(stored)

    @pytest.mark.parametrize(
        ("name", "given", "expected"),
        [
            ("closedAt", "yesterday", "closedAt must be a whole number"),
            ("closedAt", "9" * 5000, "closedAt must be a whole number"),
            ("score", 7.5, "score must be a whole number"),
            ("isDeleted", "yes", "isDeleted must be true or false"),
            ("isDeleted", 1, "isDeleted must be true or false"),
            ("city", 5, "city must be text"),
            ("city", None, "city must be text, a number, true or false"),
            ("plan", ["Pro"], "plan must be text, a number, true or false"),
        ],
    )
    def test_refuses_values_of_another_type(
        self, sandbox: Driver, name: str, given: Any, expected: str
    ) -> None:
        response = sandbox.put(**{name: given})
        assert (response.status_code, response.text) == (400, expected)

    def test_moves_last_modified(self, sandbox: Driver) -> None:
        sandbox.clock.at += SECOND
        sandbox.put(city="Cambridge")
        assert sandbox.lead()["lastModifiedAt"] == START_MS + 1000
        assert sandbox.lead()["insertedAt"] == START_MS


class TestToken:
    @pytest.mark.parametrize("query", ["access_token=right", "hapikey=right"])
    def test_may_stand_in_the_query(self, query: str) -> None:
        driver = Driver(access_token="right")
        assert driver.http.get(f"/leads/v1/list?{query}").status_code == 200

    def test_may_be_a_bearer_token(self) -> None:
        driver = Driver(access_token="right")
        headers = {"Authorization": "Bearer right"}
        assert driver.http.get("/leads/v1/list", headers=headers).status_code == 200

    @pytest.mark.parametrize("query", ["", "access_token=", "access_token=wrong", "access_token=%C3%A9"])
    def test_missing_or_wrong_is_401_in_html(self, query: str) -> None:
        driver = Driver(access_token="right")
        driver.seed()
        response = driver.http.put(f"/leads/v1/lead/{GUID}?{query}", json={"guid": GUID, "city": "x"})
        assert response.status_code == 401
        assert "requires HTTP authentication" in response.text
        assert driver.lead()["city"] == ""

    def test_may_be_any_unless_one_is_configured(self, sandbox: Driver) -> None:
        assert sandbox.http.get("/leads/v1/list?access_token=any").status_code == 200
        assert sandbox.http.get("/leads/v1/list").status_code == 401


class TestGet:
    def test_gives_an_array_of_one(self, sandbox: Driver) -> None:
        response = sandbox.http.get(f"/leads/v1/lead/{GUID}?access_token=secret")
        assert response.json == [sandbox.lead()]

    def test_by_email_gives_the_lead_that_converted_first(self, sandbox: Driver) -> None:
        for number, converted in enumerate([300, 200]):
            sandbox.seed(
                f"{number:032x}", email="two@example.com", leadConversionEvents=[{"convertDate": converted}]
            )
        response = sandbox.http.get("/leads/v1/lead/?access_token=secret&email=Two@example.com")
        assert [lead["guid"] for lead in response.json or []] == [f"{1:032x}"]

    @pytest.mark.parametrize("query", ["userToken=cookie", "conversionEventGuid=event"])
    def test_by_other_keys(self, sandbox: Driver, query: str) -> None:
        sandbox.seed("1" * 32, userToken="cookie", leadConversionEvents=[{"guid": "event"}])
        response = sandbox.http.get(f"/leads/v1/lead?access_token=secret&{query}")
        assert [lead["guid"] for lead in response.json or []] == ["1" * 32]

    @pytest.mark.parametrize(("path", "status"), [("/x", 404), ("?email=no@example.com", 404), ("", 400)])
    def test_of_nothing_says_so(self, sandbox: Driver, path: str, status: int) -> None:
        headers = {"Authorization": "Bearer secret"}
        assert sandbox.http.get(f"/leads/v1/lead{path}", headers=headers).status_code == status


class TestList:
    @pytest.fixture
    def many(self) -> Driver:
        driver = Driver()
        for number in range(150):
            driver.clock.at += SECOND
            driver.seed(f"{number:032x}", firstName=f"name {number:03}", closedAt=number * 1000)
        return driver

    def test_gives_ten_unless_told_and_never_above_a_hundred(self, many: Driver) -> None:
        assert [len(many.list()), len(many.list(max="30")), len(many.list(max="5000"))] == [10, 30, 100]

    def test_pages_by_offset(self, many: Driver) -> None:
        found = many.list(offset="140", max="100", sort="firstName")
        assert [lead["firstName"] for lead in found] == [f"name {number}" for number in range(140, 150)]

    def test_sorts(self, many: Driver) -> None:
        assert many.list(sort="closedAt", dir="desc")[0]["closedAt"] == 149_000
        assert many.list(sort="fce.convertDate")[0]["firstName"] == "name 000"

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"timePivot": "closedAt", "stopTime": "3000"}, 3),
            ({"timePivot": "closedAt", "startTime": "148000"}, 2),
            ({"timePivot": "insertedAt", "startTime": str(START_MS + 149_500)}, 1),
            ({"startTime": str(START_MS + 149_500)}, 1),
            ({"timePivot": "lastConvertedAt"}, 0),
            ({"search": "NAME 14"}, 10),
            ({"search": "nobody"}, 0),
            ({"guids[0]": f"{7:032x}", "guids[1]": f"{9:032x}"}, 2),
        ],
    )
    def test_finds(self, many: Driver, asked: dict[str, str], expected: int) -> None:
        assert len(many.list(**asked, max="100")) == expected

    @pytest.mark.parametrize(
        ("parameter", "field"),
        [
            ("optout", "emailOptOut"),
            ("emailOptOut", "emailOptOut"),
            ("eligibleForEmail", "eligibleForEmail"),
            ("bounced", "emailBounced"),
        ],
    )
    def test_filters_by_flags(self, parameter: str, field: str) -> None:
        driver = Driver()
        driver.seed("a" * 32, **{field: True})
        driver.seed("b" * 32)
        assert [lead["guid"] for lead in driver.list(**{parameter: "true"})] == ["a" * 32]
        assert [lead["guid"] for lead in driver.list(**{parameter: "false"})] == ["b" * 32]

    def test_filters_by_not_imported(self) -> None:
        driver = Driver()
        driver.seed("a" * 32, imported=True)
        driver.seed("b" * 32)
        assert [lead["guid"] for lead in driver.list(isNotImported="true")] == ["b" * 32]
        assert [lead["guid"] for lead in driver.list(isNotImported="false")] == ["a" * 32]

    def test_leaves_deleted_leads_out_unless_asked(self, sandbox: Driver) -> None:
        sandbox.put(isDeleted=True)
        assert sandbox.list() == []
        assert len(sandbox.list(includeDeleted="true")) == 1

    def test_leaves_conversion_events_out_when_asked(self, sandbox: Driver) -> None:
        sandbox.seed(leadConversionEvents=[{"guid": "event"}])
        assert sandbox.list()[0]["leadConversionEvents"] == [{"guid": "event"}]
        assert sandbox.list(excludeConversionEvents="true")[0]["leadConversionEvents"] == []

    @pytest.mark.parametrize(
        "query", ["sort=city", "dir=up", "max=many", "offset=-1", "timePivot=never", "bounced=maybe"]
    )
    def test_refuses_what_it_does_not_know(self, sandbox: Driver, query: str) -> None:
        assert sandbox.http.get(f"/leads/v1/list?access_token=secret&{query}").status_code == 400


class TestRateLimit:
    def test_answers_429_with_the_seconds_to_wait(self) -> None:
        driver = Driver(RateLimit(2, 10))
        driver.seed()
        assert [driver.put(city=city).status_code for city in "abc"] == [200, 200, 429]
        driver.clock.at += 4 * SECOND
        response = driver.put(city="d")
        assert (response.status_code, response.headers["Retry-After"]) == (429, "6")
        assert (response.json or {})["policyName"] == "TEN_SECONDLY_ROLLING"
        assert driver.lead()["city"] == "b"
        driver.clock.at += 6 * SECOND
        assert driver.put(city="e").status_code == 200

    def test_slides(self) -> None:
        window = Window(RateLimit(2, 10))
        waits = [window.arrive(second * SECOND) for second in (0, 9, 10, 11, 19, 20)]
        assert waits == [None, None, None, 8.0, None, None]

    def test_tells_the_most_requests_that_any_window_held(self) -> None:
        driver = Driver(RateLimit(2, 10))
        for step in (0, 9, 2, 20):
            driver.clock.at += step * SECOND
            driver.list()
        stats = driver.http.get("/_sandbox/stats").json
        assert stats == {"requests": 4, "most_in_a_window": 2, "refused": 0, "rate_limit": "2/10"}


class TestFaults:
    def test_answer_as_often_as_told(self, sandbox: Driver) -> None:
        sandbox.fault(status=503, count=2, body="<html>", headers={"Retry-After": "3"})
        responses = [sandbox.put(city=city) for city in "abc"]
        assert [response.status_code for response in responses] == [503, 503, 200]
        assert (responses[0].text, responses[0].headers["Retry-After"]) == ("<html>", "3")
        assert sandbox.lead()["city"] == "c"
        assert [entry["status"] for entry in sandbox.requests()] == [503, 503, 200]

    def test_may_come_after_the_effect(self, sandbox: Driver) -> None:
        sandbox.fault(status=500, count=1, after=True)
        assert sandbox.put(city="Cambridge").status_code == 500
        assert sandbox.lead()["city"] == "Cambridge"
        assert sandbox.requests()[0]["applied"] is True

    def test_may_concern_one_lead(self, sandbox: Driver) -> None:
        sandbox.seed("b" * 32)
        sandbox.fault(status=500, guid=GUID)
        assert [sandbox.put(city="x").status_code, sandbox.put("b" * 32, city="x").status_code] == [500, 200]

    def test_delay_and_then_go_on(self, sandbox: Driver) -> None:
        sandbox.fault(delay_ms=200)
        sandbox.fault(status=500, delay_ms=50, count=1)
        assert [sandbox.put(city="x").status_code, sandbox.put(city="x").status_code] == [500, 200]
        assert sandbox.slept == [0.2, 0.05, 0.2]

    def test_may_hit_a_share_of_requests_the_same_each_time(self) -> None:
        runs = []
        for _ in range(2):
            driver = Driver()
            driver.seed()
            driver.fault(status=500, probability=0.5, seed=1)
            runs.append([driver.put(city="x").status_code for _ in range(20)])
        assert runs[0] == runs[1]
        assert set(runs[0]) == {200, 500}

    def test_can_be_seen_and_removed(self, sandbox: Driver) -> None:
        sandbox.fault(status=500, count=3)
        sandbox.put(city="x")
        (fault,) = sandbox.http.get("/_sandbox/faults").json or []
        assert (fault["status"], fault["count"]) == (500, 2)
        assert sandbox.http.delete("/_sandbox/faults").status_code == 204
        assert sandbox.put(city="x").status_code == 200

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ({"stauts": 500}, "unknown: stauts; known: status, count"),
            ({"status": "500"}, "status cannot be '500'"),
            ({"status": 99}, "status cannot be 99"),
            ({"status": True}, "status cannot be True"),
            ({"status": 500, "count": 0}, "count cannot be 0"),
            ({"drop": "yes"}, "drop cannot be 'yes'"),
            ({"status": 500, "headers": {"a": 1}}, "headers cannot be"),
            ({"status": 500, "probability": 2}, "probability cannot be 2"),
            ({"count": 3}, "expected status, drop or delay_ms"),
            ([], "the body is not a JSON object"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, sandbox: Driver, content: Any, expected: str) -> None:
        response = sandbox.http.post("/_sandbox/faults", json=content)
        assert response.status_code == 400
        assert (response.json or {})["error"].startswith(expected)


class TestControl:
    def test_tells_the_requests_without_their_token(self, sandbox: Driver) -> None:
        sandbox.http.get("/leads/v1/list?hapikey=secret&max=5", headers={"Authorization": "Bearer secret"})
        sandbox.put(city="Cambridge")
        entries = sandbox.requests()
        assert "secret" not in json.dumps(entries)
        assert [entry["path"] for entry in entries] == ["/leads/v1/list?max=5", f"/leads/v1/lead/{GUID}"]
        assert entries[1] == {
            "n": 2,
            "time": START_MS * 1000,
            "method": "PUT",
            "path": f"/leads/v1/lead/{GUID}",
            "body": {"guid": GUID, "city": "Cambridge"},
            "status": 200,
            "applied": True,
            "why": "",
        }

    def test_tells_the_requests_since_one(self, sandbox: Driver) -> None:
        for city in "abc":
            sandbox.put(city=city)
        assert [entry["body"]["city"] for entry in sandbox.requests(since=1)] == ["b", "c"]

    def test_seeds_any_field_and_derives_is_customer(self, sandbox: Driver) -> None:
        sandbox.seed(closedAt="5000", lastConvertedAt=7, plan="Pro")
        lead = sandbox.lead()
        assert (lead["closedAt"], lead["isCustomer"], lead["lastConvertedAt"]) == (5000, True, 7)
        assert lead["plan"] == "Pro"

    @pytest.mark.parametrize("body", [b"[]", b"{", b'{"closedAt": "never"}'])
    def test_refuses_a_seed_that_makes_no_sense(self, sandbox: Driver, body: bytes) -> None:
        assert sandbox.http.put(f"/_sandbox/leads/{GUID}", data=body).status_code == 400

    def test_reset_forgets_everything(self, sandbox: Driver) -> None:
        sandbox.put(city="x")
        sandbox.fault(status=500)
        assert sandbox.http.post("/_sandbox/reset").status_code == 204
        assert sandbox.http.get("/_sandbox/leads").json == []
        assert sandbox.http.get("/_sandbox/faults").json == []
        assert sandbox.requests() == []
        assert (sandbox.http.get("/_sandbox/stats").json or {})["requests"] == 0

    def test_knows_no_other_lead(self, sandbox: Driver) -> None:
        assert sandbox.http.get(f"/_sandbox/leads/{UNKNOWN_GUID}").status_code == 404
