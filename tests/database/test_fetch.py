"""Fetch: the object that an event is about comes from its source's API first, on both databases."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from sqlalchemy import text

from integration.config.sources import Source
from integration.core.durations import FETCH_LEASE_SECONDS
from integration.core.values import MAIN_ACCOUNT, RawRequest
from integration.http.client import Client
from integration.operate.dead_letters import Letters, retry_dead
from integration.pipeline.fetch import Access, Fetcher, Got, fetch_now
from integration.pipeline.replay import Replay
from integration.pipeline.shared_token import SourceTokens
from integration.pipeline.verification import Verifier, published
from integration.store import fetches, pause_rows
from integration.store.backlog import read_backlog
from integration.store.engine import Store
from integration.store.fetches import FetchJob
from integration.store.inbox import ClaimedEvent
from integration.store.views.event_views import EventLine, list_events
from integration.web.gauges import gauges
from tests.engine import DAY, EVERYTHING, MIB, SECOND, Engine, running
from tests.standin import StandIn, standing_in

MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event:
  id: id
  type: {value: payment}
  time: {from: at, as: unix_seconds}
fetch:
  base: {setting: SHOP_API_URL}
  path: /v1/payments/{payment}
  auth: {bearer: SHOP_API_KEY}
  when: {payment: {exists: true}}
  seconds: 5
  max_bytes: 2000
lead:
  guid: fetched.guid
rules:
  - name: paid
    events: [payment]
    set: {city: fetched.city}
"""
KEY = "key-that-must-stay-secret"
ANSWER = {"guid": "8a41", "city": "Rome", "email": "jane@example.com"}


GIVE_THE_LAST_FIVE_TO_THE_OTHER_SOURCE = (
    "UPDATE requests SET source = 'fast' WHERE id IN (SELECT id FROM requests ORDER BY id DESC LIMIT 5)",
    "UPDATE events SET source = 'fast' WHERE request_id IN (SELECT id FROM requests WHERE source = 'fast')",
    "UPDATE fetches SET source = 'fast' WHERE event_id IN (SELECT id FROM events WHERE source = 'fast')",
)


class Shop:
    """The engine, with fetchers, and the stand-in for the shop's API."""

    def __init__(self, engine: Engine, api: StandIn) -> None:
        self.engine = engine
        self.api = api
        self.answer(ANSWER)
        engine.environ |= {"SHOP_API_URL": api.url, "SHOP_API_KEY": KEY}
        engine.write_mapping(MAPPING)
        self._fetchers: list[Fetcher] = []

    def fetcher(self, worker: str = "w", *, allow_private: bool = True) -> Fetcher:
        clock = lambda: self.engine.now  # noqa: E731 - one line
        fetcher = Fetcher(
            self.engine.store, self.engine.sources, clock,
            worker=worker, max_body_bytes=MIB, allow_private=allow_private,
        )  # fmt: skip
        self._fetchers.append(fetcher)
        return fetcher

    def close(self) -> None:
        for fetcher in self._fetchers:
            fetcher.close()

    def answer(self, content: object, status: int = 200) -> None:
        self.api.status, self.api.body = status, json.dumps(content).encode()

    def work(self) -> None:
        """Translate and fetch once, as a worker would, then translate what came back."""
        self.engine.translate()
        self.fetcher().run_once()
        self.engine.translate()

    @property
    def events(self) -> list[EventLine]:
        with self.engine.store.read() as connection:
            return list_events(connection, limit=100)

    @property
    def states(self) -> list[str]:
        return [line.state for line in self.events]

    def fetch_line(self) -> fetches.FetchLine:
        with self.engine.store.read() as connection:
            found = fetches.of_event(connection, self.events[0].id)
        assert found is not None
        return found


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Iterator[Shop]:
    with running(store, tmp_path) as engine, standing_in() as api:
        shop = Shop(engine, api)
        yield shop
        shop.close()


def test_received_fetching_received_translated(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1/ä"})
    shop.engine.translate()
    assert shop.states == ["fetching"]
    assert shop.api.asked == []
    assert shop.fetcher().run_once() == 1
    assert shop.states == ["received"]
    shop.engine.translate()
    assert shop.states == ["translated"]
    assert shop.engine.values("8a41") == {"city": "Rome"}
    path, headers = shop.api.asked[0]
    assert path == "/v1/payments/tr_1%2F%C3%A4"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept"] == "application/json"
    assert shop.fetcher().run_once() == 0


def test_a_body_in_a_field_of_a_form_says_what_to_fetch(shop: Shop) -> None:
    shop.engine.change_mapping("fetch:\n", "body: {field: data}\nfetch:\n")
    source = shop.engine.sources.get("shop")
    assert isinstance(source, Source)
    form = urlencode({"data": json.dumps({"id": "e1", "payment": "tr_1"})}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = RawRequest("shop", "POST", "https://x/hooks/shop", "", headers, form, 1)
    job = FetchJob(ClaimedEvent("r-0", "shop", 0, "e1", "r", request), 0, None)

    clock = lambda: shop.engine.now  # noqa: E731 - one line
    access = Access(SourceTokens(shop.engine.store, clock).of, Client(), clock)
    assert isinstance(fetch_now(source, job, access, MIB), Got)
    assert shop.api.paths == ["/v1/payments/tr_1"]


def test_what_waits_is_counted_by_source(shop: Shop) -> None:
    for number in range(3):
        shop.engine.post({"id": f"e{number}", "payment": "tr_1"})
    shop.engine.translate()
    with shop.engine.store.read() as connection:
        assert read_backlog(connection).events_fetching == {"shop": 3}
    assert (
        'leadwire_events_fetching{source="shop"} 3.0'
        in gauges(shop.engine.store, shop.engine.sources.current, 0).decode()
    )
    shop.fetcher().run_once()
    with shop.engine.store.read() as connection:
        assert read_backlog(connection).events_fetching == {}


def test_an_event_that_needs_nothing_is_not_fetched_for(shop: Shop) -> None:
    shop.engine.post({"id": "e1"})
    shop.work()
    assert (shop.states, shop.api.asked) == (["dead"], [])
    assert shop.events[0].cause
    assert shop.events[0].cause.code == "missing_lead"


def test_an_event_that_no_rule_is_for_is_not_fetched_for(shop: Shop) -> None:
    shop.engine.change_mapping("events: [payment]", "events: [refund]")
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    assert (shop.states, shop.api.asked) == (["ignored"], [])


def test_a_placeholder_without_a_value_is_a_dead_letter(shop: Shop) -> None:
    shop.engine.change_mapping("{payment}", "{order}")
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    cause = shop.events[0].cause
    assert cause is not None
    assert (shop.states, cause.code) == (["dead"], "fetch_impossible")
    assert cause.detail == "mappings/shop/mapping.yaml:9: fetch.path: order is absent"


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again_later(shop: Shop, status: int) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer({"error": "jane@example.com"}, status)
    shop.work()
    line = shop.fetch_line()
    assert shop.states == ["fetching"]
    assert line.attempts == 1
    assert line.detail is not None
    assert f"127.0.0.1 answered {status}" in line.detail
    assert line.due_at is not None
    assert shop.engine.now + SECOND // 2 <= line.due_at <= shop.engine.now + SECOND
    shop.answer(ANSWER)
    assert shop.fetcher().run_once() == 0
    shop.engine.now += SECOND
    shop.work()
    assert shop.states == ["translated"]


def test_the_pauses_grow_and_retry_after_is_kept(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer({}, 503)
    shop.engine.translate()
    waits = []
    for _ in range(4):
        shop.fetcher().run_once()
        due = shop.fetch_line().due_at
        assert due is not None
        waits.append((due - shop.engine.now) / SECOND)
        shop.engine.now += 8 * SECOND  # the pause of the whole source is over too
    assert [low <= wait <= 2 * low for wait, low in zip(waits, (0.5, 1, 2, 4), strict=True)] == [True] * 4
    shop.api.headers = {"Content-Type": "application/json", "Retry-After": "120"}
    shop.fetcher().run_once()
    assert shop.fetch_line().due_at == shop.engine.now + 120 * SECOND


def test_refused_credentials_name_their_setting_and_nothing_more(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer({}, 401)
    shop.work()
    assert str(shop.fetch_line().detail).endswith(
        "127.0.0.1 answered 401: it refuses the credentials in SHOP_API_KEY"
    )


def test_after_three_days_the_event_is_dead_and_can_be_retried(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer({}, 500)
    shop.work()
    shop.engine.now += 3 * DAY + 2 * SECOND
    shop.work()
    cause = shop.events[0].cause
    assert cause is not None
    assert (shop.states, cause.code) == (["dead"], "fetch_gave_up")
    assert cause.detail.startswith("Nothing could be fetched for this event in 3 days. Last: ")
    assert cause.cure.endswith("run `leadwire dead retry --cause fetch_gave_up`.")
    shop.answer(ANSWER)
    retry_dead(shop.engine.store, lambda: shop.engine.now, Letters(), lambda _: None)
    shop.engine.now += 2 * SECOND
    shop.work()
    assert shop.states == ["translated"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "answered 404"),
        (400, "answered 400"),
        (410, "answered 410"),
        (302, "answered 302 (redirects are not"),
    ],
)
def test_what_will_not_pass_is_a_dead_letter_with_its_cure(shop: Shop, status: int, said: str) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer({}, status)
    shop.work()
    cause = shop.events[0].cause
    assert cause is not None
    assert (shop.states, cause.code) == (["dead"], "fetch_refused")
    assert said in cause.detail
    assert cause.detail.startswith("mappings/shop/mapping.yaml:9: fetch: 127.0.0.1")
    assert "then retry the event" in cause.cure


def test_an_answer_that_is_too_large_is_a_dead_letter(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.answer("x" * 2001)
    shop.work()
    cause = shop.events[0].cause
    assert cause is not None
    assert (cause.code, cause.cure) == (
        "fetch_refused", "allow more by `fetch.max_bytes`, then retry the event",
    )  # fmt: skip


def test_an_answer_that_cannot_be_read_is_asked_for_again(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.api.body = b"<html>under maintenance</html>"
    shop.work()
    assert shop.states == ["fetching"]
    assert "answered 200, which cannot be read: The body is not JSON" in str(shop.fetch_line().detail)


def test_an_answer_in_xml(shop: Shop) -> None:
    shop.engine.change_mapping("guid: fetched.guid", "guid: fetched.payment.guid")
    shop.engine.change_mapping("city: fetched.city", "city: fetched.payment.city")
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.api.headers = {"Content-Type": "application/xml; charset=utf-8"}
    shop.api.body = b"<payment><guid>8a41</guid><city>Rome</city></payment>"
    shop.work()
    assert shop.states == ["translated"]
    assert shop.engine.values("8a41") == {"city": "Rome"}


def test_a_private_address_is_refused_unless_allowed(shop: Shop) -> None:
    shop.engine.change_mapping("{setting: SHOP_API_URL}", "https://127.0.0.1:1")
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.engine.translate()
    shop.fetcher(allow_private=False).run_once()
    cause = shop.events[0].cause
    assert cause is not None
    assert cause.code == "fetch_refused"
    assert cause.detail.endswith("127.0.0.1 is not a public address")
    assert "FETCH_ALLOW_PRIVATE" in cause.cure


def test_a_missing_setting_is_said_and_waited_for(shop: Shop) -> None:
    del shop.engine.environ["SHOP_API_KEY"]
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    assert (shop.states, shop.api.asked) == (["fetching"], [])
    assert str(shop.fetch_line().detail).endswith("fetch: set SHOP_API_KEY")
    shop.engine.environ["SHOP_API_KEY"] = KEY
    shop.engine.now += SECOND
    shop.work()
    assert shop.states == ["translated"]


def test_credentials_that_cannot_be_any_are_said_by_their_setting(shop: Shop) -> None:
    shop.engine.environ["SHOP_API_KEY"] = "kéy\nX: y"
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    assert (shop.states, shop.api.asked) == (["fetching"], [])
    assert str(shop.fetch_line().detail).endswith(
        "fetch: SHOP_API_KEY has characters that no credentials have"
    )


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ("{bearer: SHOP_API_KEY}", "authorization", f"Bearer {KEY}"),
        ("{basic: SHOP_API_KEY}", "authorization", f"Basic {base64.b64encode(KEY.encode()).decode()}"),
        ("{header: X-Api-Key, setting: SHOP_API_KEY}", "x-api-key", KEY),
    ],
)
def test_ways_to_give_credentials(shop: Shop, auth: str, header: str, value: str) -> None:
    shop.engine.change_mapping("{bearer: SHOP_API_KEY}", auth)
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    assert shop.api.asked[0][1][header] == value
    assert shop.states == ["translated"]


def test_replay_uses_the_stored_answer_and_needs_no_api(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    shop.answer({}, 500)
    shop.engine.change_mapping("city: fetched.city", "city: fetched.city, zip: fetched.email")
    assert shop.engine.replay().changed == 1
    assert shop.engine.values("8a41")["zip"] == "jane@example.com"
    assert len(shop.api.asked) == 1


def test_replay_can_fetch_anew(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.work()
    shop.answer({**ANSWER, "city": "Oslo"})
    clock = lambda: shop.engine.now  # noqa: E731 - one line
    replay = Replay(
        shop.engine.store,
        shop.engine.sources,
        clock,
        Verifier(published(shop.engine.store, allow_private=False)),
        max_body_bytes=MIB,
        fetch_anew=True,
    )
    assert replay.run(EVERYTHING, None, lambda _: None).changed == 1
    assert shop.states == ["fetching"]
    shop.work()
    assert shop.states == ["translated"]
    assert shop.engine.values("8a41") == {"city": "Oslo"}


def test_a_replayed_event_whose_mapping_now_fetches_waits_for_that(shop: Shop) -> None:
    shop.engine.change_mapping("when: {payment: {exists: true}}", "when: {payment: never}")
    shop.engine.post({"id": "e1", "payment": "tr_1", "guid": "8a41"})
    shop.work()
    assert shop.states == ["dead"]
    shop.engine.change_mapping("when: {payment: never}", "when: {payment: {exists: true}}")
    shop.engine.replay()
    assert shop.states == ["fetching"]
    shop.work()
    assert shop.states == ["translated"]


def test_a_mapping_that_wants_nothing_any_more_takes_the_event_back(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.engine.translate()
    shop.engine.change_mapping("when: {payment: {exists: true}}", "when: {payment: never}")
    shop.fetcher().run_once()
    assert (shop.states, shop.api.asked) == (["received"], [])


def test_a_slow_api_holds_up_its_own_events_only(shop: Shop) -> None:
    go_on, others_done = threading.Event(), threading.Event()
    shop.api.before_answer = lambda: (go_on.wait(20), None)[1]
    with standing_in() as fast:
        fast.body = json.dumps({**ANSWER, "guid": "9b52"}).encode()
        other = MAPPING.replace("source: shop", "source: fast").replace("SHOP_API_URL", "FAST_API_URL")
        shop.engine.environ["FAST_API_URL"] = fast.url
        shop.engine.write_mapping(other, "fast")
        for number in range(10):
            shop.engine.post({"id": f"e{number}", "payment": "slow"})
        shop.engine.translate()
        with shop.engine.store.write() as connection:
            for statement in GIVE_THE_LAST_FIVE_TO_THE_OTHER_SOURCE:
                connection.execute(text(statement))
        fetcher = shop.fetcher()
        started = []
        for _ in range(100):
            started += fetcher.start(others_done.set)
            if len(fast.asked) == 5:
                break
            others_done.wait(1)
            others_done.clear()
        assert len(fast.asked) == 5
        assert len(shop.api.asked) <= 4
        go_on.set()
        for future in started:
            future.result()


def test_after_a_failure_one_request_at_a_time_shows_whether_the_api_works_again(shop: Shop) -> None:
    for number in range(10):
        shop.engine.post({"id": f"e{number}", "payment": "tr_1"})
    shop.answer({}, 503)
    shop.engine.translate()
    fetcher = shop.fetcher()
    tried = fetcher.run_once()
    assert 0 < tried <= 4
    assert fetcher.run_once() == 0
    shop.engine.now += 300 * SECOND
    assert fetcher.run_once() == 1
    shop.answer(ANSWER)
    shop.engine.now += 300 * SECOND
    assert fetcher.run_once() == 1
    assert fetcher.run_once() == 4


def test_a_pause_of_an_api_holds_for_all_workers_and_one_of_them_probes_it(shop: Shop) -> None:
    for number in range(10):
        shop.engine.post({"id": f"e{number}", "payment": "tr_1"})
    shop.answer({}, 503)
    shop.engine.translate()
    workers = [shop.fetcher(name) for name in ("one", "two", "three")]
    workers[0].run_once()
    assert [worker.run_once() for worker in workers] == [0, 0, 0]

    shop.engine.now += 300 * SECOND
    assert len([job for worker in workers for job in worker._claim("shop", paused(shop))]) == 1
    assert [worker.run_once() for worker in workers] == [0, 0, 0], "the probe is on its way"


def test_the_probe_of_a_worker_that_died_is_taken_by_another_when_its_lease_is_over(shop: Shop) -> None:
    for number in range(4):
        shop.engine.post({"id": f"e{number}", "payment": "tr_1"})
    shop.answer({}, 503)
    shop.engine.translate()
    shop.fetcher("one").run_once()
    shop.engine.now += 300 * SECOND
    assert shop.fetcher("dies")._claim("shop", paused(shop))

    shop.engine.now += (FETCH_LEASE_SECONDS - 1) * SECOND
    assert shop.fetcher("other").run_once() == 0
    shop.engine.now += SECOND
    assert shop.fetcher("other").run_once() == 1


def test_those_that_fail_together_begin_one_pause(shop: Shop) -> None:
    for number in range(8):
        shop.engine.post({"id": f"e{number}", "payment": "tr_1"})
    shop.answer({}, 503)
    shop.engine.translate()
    started = [*shop.fetcher("one").start(lambda: None), *shop.fetcher("two").start(lambda: None)]
    for future in started:
        future.result()

    pause = paused(shop)
    assert pause.pauses == 1
    assert "answered 503" in pause.reason


def test_an_api_that_asks_for_more_time_gets_it_from_all(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.engine.post({"id": "e2", "payment": "tr_1"})
    shop.api.headers = {"Retry-After": "1.5"}
    shop.answer({}, 429)
    shop.engine.translate()
    shop.fetcher().run_once()
    assert paused(shop).until == shop.engine.now + 3 * SECOND // 2


def test_what_began_before_a_pause_does_not_end_it(shop: Shop) -> None:
    with shop.engine.store.write() as connection:
        began = shop.engine.now
        assert pause_rows.pause_source(
            connection, MAIN_ACCOUNT, "shop", began + SECOND, before=0, reason="answered 503"
        )
        assert not pause_rows.resume_source(connection, MAIN_ACCOUNT, "shop", began)
        assert pause_rows.resume_source(connection, MAIN_ACCOUNT, "shop", began + SECOND)
        assert pause_rows.source_pauses(connection, MAIN_ACCOUNT) == {}


def paused(shop: Shop) -> pause_rows.SourcePause:
    with shop.engine.store.read() as connection:
        return pause_rows.source_pauses(connection, MAIN_ACCOUNT)["shop"]


def test_two_workers_never_fetch_the_same(shop: Shop) -> None:
    for number in range(6):
        shop.engine.post({"id": f"e{number}", "payment": f"tr_{number}"})
    shop.engine.translate()
    first, second = shop.fetcher("one"), shop.fetcher("two")
    started = [*first.start(lambda: None), *second.start(lambda: None)]
    for future in started:
        future.result()
    assert sorted(shop.api.paths) == [f"/v1/payments/tr_{number}" for number in range(6)]


def test_what_a_dead_worker_held_is_fetched_by_another(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.engine.translate()
    with shop.engine.store.write() as connection:
        now = shop.engine.now
        claimed = fetches.claim(connection, "gone", "shop", now=now, until=now + 90 * SECOND, limit=1)
    assert len(claimed) == 1
    assert shop.fetcher().run_once() == 0
    shop.engine.now += 90 * SECOND
    assert shop.fetcher().run_once() == 1
    with shop.engine.store.write() as connection:
        fetches.retry(connection, "gone", claimed[0], shop.engine.now, "too late", now=shop.engine.now)
    assert shop.states == ["received"]


def test_the_key_is_neither_stored_nor_logged_and_no_personal_data_is_logged(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shop.engine.post({"id": "e1", "payment": "jane@example.com"})
    shop.answer({"email": "jane@example.com"}, 403)
    shop.work()
    shop.engine.now += SECOND
    shop.answer(ANSWER)
    shop.work()
    assert shop.states == ["translated"]
    logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "event.fetched" in logged
    assert "fetch.retry" in logged
    assert KEY not in logged
    assert "jane" not in logged
    with shop.engine.store.read() as connection:
        stored = [
            str(row)
            for table in ("events", "fetches", "requests")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        ]
    assert KEY not in "".join(stored)


def test_retention_removes_the_answer_with_the_event(shop: Shop) -> None:
    shop.engine.post({"id": "e1", "payment": "tr_1"})
    shop.engine.post({"id": "e2", "payment": "tr_2"})
    shop.work()
    shop.engine.deliver()
    shop.engine.post({"id": "e3", "payment": "tr_3"})
    shop.engine.translate()
    shop.engine.now += 31 * DAY
    shop.engine.prune()
    with shop.engine.store.read() as connection:
        left = connection.execute(text("SELECT answer FROM fetches")).all()
    assert [row.answer for row in left] == [None]
    assert shop.states[0] == "fetching"


OAUTH = """\
  auth:
    oauth:
      token_url: {url}/token
      client_id: SHOP_CLIENT_ID
      client_secret: SHOP_CLIENT_SECRET
      refresh_token: SHOP_REFRESH_TOKEN
  headers: {{X-Tenant: "{{tenant}}"}}
"""


class Renewing:
    """A shop whose API wants OAuth tokens: `grants` is the stand-in that gives them."""

    def __init__(self, shop: Shop, grants: StandIn) -> None:
        self.shop = shop
        self.grants = grants
        self.grant("access-1", "refresh-2")
        names = ("SHOP_CLIENT_ID", "SHOP_CLIENT_SECRET", "SHOP_REFRESH_TOKEN")
        shop.engine.environ |= {name: f"given-{name}" for name in names}
        shop.engine.change_mapping("  auth: {bearer: SHOP_API_KEY}\n", OAUTH.format(url=grants.url))

    def grant(self, token: str, refresh_token: str, seconds: int = 1800) -> None:
        content = {"access_token": token, "expires_in": seconds, "refresh_token": refresh_token}
        self.grants.status, self.grants.body = 200, json.dumps(content).encode()

    def fetch(self, id: str) -> str:
        """Fetch for a new event; returns the Authorization that the API saw last."""
        self.shop.engine.post({"id": id, "payment": id, "tenant": "t-1"})
        self.shop.work()
        return self.shop.api.asked[-1][1]["authorization"]

    @property
    def used(self) -> list[str]:
        """The refresh tokens that were used, in order."""
        return [parse_qs(body.decode())["refresh_token"][0] for body in self.grants.posted]


@pytest.fixture
def renewing(shop: Shop) -> Iterator[Renewing]:
    with standing_in() as grants:
        yield Renewing(shop, grants)


def test_one_access_token_serves_all_workers_until_it_expires(renewing: Renewing) -> None:
    assert [renewing.fetch(id) for id in ("e1", "e2")] == ["Bearer access-1"] * 2
    assert renewing.used == ["given-SHOP_REFRESH_TOKEN"]
    assert renewing.shop.api.asked[-1][1]["x-tenant"] == "t-1"
    renewing.grant("access-2", "refresh-3")
    renewing.shop.engine.now += 1800 * SECOND
    assert renewing.fetch("e3") == "Bearer access-2"


def test_the_refresh_token_that_comes_back_is_the_next_one_and_a_new_setting_begins_anew(
    renewing: Renewing,
) -> None:
    renewing.fetch("e1")
    renewing.shop.engine.now += 1800 * SECOND
    renewing.fetch("e2")
    renewing.shop.engine.environ["SHOP_REFRESH_TOKEN"] = "another grant"
    renewing.fetch("e3")

    assert renewing.used == ["given-SHOP_REFRESH_TOKEN", "refresh-2", "another grant"]


def test_a_token_that_the_api_does_not_take_any_more_is_replaced_at_once(renewing: Renewing) -> None:
    renewing.fetch("e1")
    renewing.grant("access-2", "refresh-3")
    statuses = iter([401, 200])
    renewing.shop.api.before_answer = lambda: setattr(renewing.shop.api, "status", next(statuses))

    assert renewing.fetch("e2") == "Bearer access-2"
    assert renewing.shop.states == ["translated", "translated"]


def test_a_grant_that_was_revoked_lets_the_event_wait_and_names_the_setting(renewing: Renewing) -> None:
    renewing.grants.status, renewing.grants.body = 400, b'{"error": "invalid_grant"}'
    renewing.shop.engine.post({"id": "e1", "payment": "e1", "tenant": "t-1"})
    renewing.shop.work()

    assert renewing.shop.states == ["fetching"]
    assert renewing.shop.api.asked == []
    assert renewing.shop.fetch_line().detail == (
        "mappings/shop/mapping.yaml:9: fetch: 127.0.0.1 says that the grant in SHOP_REFRESH_TOKEN is not good"
        " any more; connect the app again and set SHOP_REFRESH_TOKEN to the new refresh token"
    )


def test_a_client_may_ask_in_its_own_name_and_another_scope_is_another_token(renewing: Renewing) -> None:
    engine = renewing.shop.engine
    del engine.environ["SHOP_REFRESH_TOKEN"]
    engine.change_mapping(
        "      refresh_token: SHOP_REFRESH_TOKEN\n", "      grant: client_credentials\n      scope: read:a\n"
    )
    renewing.fetch("e1")
    renewing.fetch("e2")
    engine.change_mapping("scope: read:a\n", "scope: read:a read:b\n")
    renewing.fetch("e3")

    forms = [parse_qs(body.decode()) for body in renewing.grants.posted]
    assert [form["scope"] for form in forms] == [["read:a"], ["read:a read:b"]]


def test_tokens_are_sealed_in_the_store(renewing: Renewing, store: Store) -> None:
    renewing.fetch("e1")
    with store.read() as connection:
        rows = connection.execute(text("SELECT * FROM tokens")).all()

    assert [row.account for row in rows] == ["source:shop"]
    for secret in ("access-1", "refresh-2", "given-SHOP_CLIENT_SECRET"):
        assert secret not in str(rows)


@pytest.mark.parametrize("tenant", [None, "", "two\nlines", "naïve", "x" * 501, ["t"]])
def test_what_cannot_stand_in_a_header_is_a_dead_letter(renewing: Renewing, tenant: object) -> None:
    renewing.shop.engine.post({"id": "e1", "payment": "e1", "tenant": tenant})
    renewing.shop.engine.translate()

    (line,) = renewing.shop.events
    assert line.cause is not None
    assert line.cause.code == "fetch_impossible"
    assert "fetch.headers.X-Tenant: " in line.cause.detail
    assert line.cause.cure == "correct `fetch.headers.X-Tenant` in the mapping, then retry the event"
