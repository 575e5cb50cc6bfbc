"""fetch: which address an event needs, what its answer becomes, and problems of the block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.core.values import Asked, FetchRequest, Ignored, Translation
from tests.unit.mapping.mapping_document import ARRIVED, Load, Problems, cause_of, changes_of, document

BLOCK = {"base": "https://api.example.com/", "path": "/v1/{kind}/{data.id}?expand=a"}

CLIENT = {"token_url": "https://auth.example.com/token", "client_id": "ID", "client_secret": "SECRET"}


def mapping_with(load: Load, fetch: dict[str, Any], **blocks: Any) -> Any:
    return load(document(fetch={**BLOCK, **fetch}, **blocks))


def translated(mapping: Any, payload: Any, fetched: Any = None) -> Translation:
    context = replace(mapping.context(payload, 0, {}, "", ARRIVED), fetched=fetched)
    result: Translation = mapping.translate(context)
    return result


PAYLOAD = {"type": "paid", "kind": "payments", "data": {"id": "tr_1"}, "email": "jane@example.com"}


def test_the_address_has_the_values_percent_encoded(load: Load) -> None:
    mapping = mapping_with(load, {})
    found = translated(mapping, {**PAYLOAD, "data": {"id": "a/b?c=d&e#f ü"}})
    assert found.meaning == FetchRequest("/v1/payments/a%2Fb%3Fc%3Dd%26e%23f%20%C3%BC?expand=a", {})
    number = translated(mapping, {**PAYLOAD, "data": {"id": 7}})
    assert number.meaning == FetchRequest("/v1/payments/7?expand=a", {})
    assert (mapping.fetch.base, mapping.fetch.settings) == ("https://api.example.com", ())


def test_the_settings_of_oauth_are_those_of_its_grant(load: Load) -> None:
    renewed = mapping_with(load, {"auth": {"oauth": {**CLIENT, "refresh_token": "REFRESH"}}})
    assert renewed.fetch.settings == ("ID", "SECRET", "REFRESH")
    alone = mapping_with(load, {"auth": {"oauth": {**CLIENT, "grant": "client_credentials", "scope": "a b"}}})
    assert alone.fetch.settings == ("ID", "SECRET")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "data.id is null"), ("", "data.id is ''"), (True, "data.id is true"),
        ([], "data.id is a list of 0"),
        ("..", "'/v1/payments/..?expand=a' has '.' or '..' as a part"), (".", "has '.' or '..' as a part"),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_address_is_a_dead_letter(load: Load, value: Any, said: str) -> None:
    found = translated(mapping_with(load, {}), {**PAYLOAD, "data": {"id": value}})
    assert cause_of(found).code == "fetch_impossible"
    assert said in cause_of(found).detail
    assert cause_of(found).cure == "correct `fetch.path` in the mapping, then retry the event"


def test_headers_have_values_of_the_event(load: Load) -> None:
    mapping = mapping_with(load, {"path": "/x", "headers": {"X-Tenant": "{tenant}", "X-Fixed": "a b"}})
    for tenant in ("t", "t 1", "t" * 500):
        found = translated(mapping, {**PAYLOAD, "tenant": tenant})
        assert found.meaning == FetchRequest("/x", {"X-Tenant": tenant, "X-Fixed": "a b"})


@pytest.mark.parametrize("tenant", [" t", "t ", " ", "t\r\nX: y", "t\n", "t\x00", "ü", "t" * 501])
def test_a_value_that_cannot_stand_in_a_header_is_a_dead_letter(load: Load, tenant: str) -> None:
    mapping = mapping_with(load, {"path": "/x", "headers": {"X-Tenant": "{tenant}"}})
    found = translated(mapping, {**PAYLOAD, "tenant": tenant})
    assert cause_of(found).code == "fetch_impossible"
    assert "cannot stand in a header" in cause_of(found).detail
    assert cause_of(found).cure == "correct `fetch.headers.X-Tenant` in the mapping, then retry the event"


def test_the_answer_stands_in_the_event(load: Load) -> None:
    rules = [{"name": "r", "events": ["*"], "set": {"city": "order.city", "zip": "data.id"}}]
    mapping = mapping_with(load, {"into": "order"}, rules=rules)
    found = translated(mapping, PAYLOAD, {"city": "Rome"})
    assert {change.field: change.value for change in changes_of(found)} == {"city": "Rome", "zip": "tr_1"}


def test_an_event_that_is_no_object_cannot_hold_an_answer(load: Load) -> None:
    mapping = mapping_with(load, {"path": "/x"}, event={"type": {"value": "t"}, "each": "items"})
    found = translated(mapping, {"items": ["a"]}, {"city": "Rome"})
    assert "fetch.into: the event is 'a'" in cause_of(found).detail


def test_without_need_nothing_is_fetched(load: Load) -> None:
    found = translated(mapping_with(load, {"when": {"kind": "refunds"}}), PAYLOAD)
    assert isinstance(found.meaning, Asked)
    other = [{"name": "r", "events": ["refund"], "set": {"city": "city"}}]
    found = translated(mapping_with(load, {}, rules=other), PAYLOAD)
    assert found.meaning == Ignored("no rule for event type paid")


def test_a_condition_that_cannot_be_evaluated_is_a_dead_letter(load: Load) -> None:
    found = translated(mapping_with(load, {"when": "abs(kind) > `1`"}), PAYLOAD)
    assert cause_of(found).code == "expression_failed"


def test_what_repeats_is_another_event_each_time(load: Load) -> None:
    mapping = load(document(event={"type": {"value": "t"}, "id": "id", "repeats": True}))
    first, second = (
        mapping.incoming({"id": "tr_1"}, {}, "", at)[0].dedup_key for at in (ARRIVED, ARRIVED + 1)
    )
    assert first == f"tr_1@{ARRIVED}"
    assert first != second
    without = load(document(event={"type": {"value": "t"}, "repeats": True}))
    keys = {without.incoming({"a": 1}, {}, "", at)[0].dedup_key for at in (ARRIVED, ARRIVED + 1)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("fetch", "said"),
    [
        ({"base": "ftp://x"}, "fetch.base: text 'ftp://x' is not an address"),
        ({"base": "https://user:pw@x"}, "is not an address"),
        ({"base": {"seting": "X"}}, "unknown key 'seting'; did you mean 'setting'?"),
        ({"path": "v1"}, "is not a path (write e.g. `path: /v1/payments/{id}`)"),
        ({"path": "/{id"}, "has a brace without its partner"),
        ({"path": "/{id-}"}, "is not a path"),
        ({"auth": {"bearer": "live_secret"}}, "fetch.auth.bearer: is not a name of a setting"),
        ({"auth": {"bearer": "A", "basic": "B"}}, "expected exactly one of bearer, basic, header"),
        ({"auth": {"header": "X-Key"}}, "'header' needs 'setting' beside it"),
        ({"auth": {"oauth": CLIENT}}, "expected exactly one of refresh_token, grant"),
        (
            {"auth": {"oauth": {**CLIENT, "refresh_token": "R", "grant": "client_credentials"}}},
            "expected exactly one of refresh_token, grant",
        ),
        (
            {"auth": {"oauth": {**CLIENT, "refresh_token": "R", "scope": "a"}}},
            "'scope' needs 'grant' beside it",
        ),
        ({"auth": {"oauth": {**CLIENT, "grant": "client_credentials", "scope": "a\nb"}}}, "is not a scope"),
        ({"into": "a.b"}, "is not a name"),
        ({"headers": {"X Y": "z"}}, "is not a name of a header"),
        ({"seconds": 31}, "fetch.seconds: is above 30"),
        ({"max_bytes": 0}, "fetch.max_bytes: is below 1"),
        ({"when": {"a": {"abov": 1}}}, "did you mean 'above'?"),
    ],
)
def test_problems(problems_of: Problems, fetch: dict[str, Any], said: str) -> None:
    told = "\n".join(str(problem) for problem in problems_of(document(fetch={**BLOCK, **fetch})))
    assert said in told
    assert "live_secret" not in told


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_no_value_leads_out_of_its_place_in_the_path(load: Load, value: Any) -> None:
    mapping = mapping_with(load, {})
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return  # half a character is refused with the body
    found = translated(mapping, {**PAYLOAD, "data": {"id": value}}).meaning
    if isinstance(found, FetchRequest):
        address = found.address
        assert address.startswith("/v1/payments/")
        assert address.endswith("?expand=a")
        assert address.count("/") == 3
        assert address.count("?") == 1
        assert address.isascii()
        assert address.isprintable()
