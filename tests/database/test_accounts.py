"""Two accounts in one database: neither sees, delays or changes anything of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text

from integration.core.settings import RateLimit
from integration.core.values import MAIN_ACCOUNT, Cause, Outcome
from integration.http.oauth import Credentials, Grant
from integration.operate.alerts import Alerts, NotTaken
from integration.operate.linking import link, unlink
from integration.pipeline.held import HeldRequests
from integration.pipeline.shared_token import SharedToken
from integration.store import alert_rows, budget, fetches, held_rows, inbox, pause_rows, records, token_rows
from integration.store.ages import Ages, read_ages
from integration.store.backlog import read_backlog
from integration.store.budget import Pause
from integration.store.dead_rows import count_dead_events
from integration.store.engine import Store
from integration.store.inbox import Arrival, store_arrivals
from integration.store.tables import metadata
from integration.store.views.dead_views import dead_groups
from integration.store.views.event_page import event_page
from integration.store.views.event_views import EVENTS, find_event, list_events
from integration.store.views.lead_views import find_lead, lead_details, list_leads
from integration.store.views.request_views import find_request, list_rejected
from integration.store.views.source_views import SourceActivity, source_activities
from integration.store.views.status_view import STATUS, read_status
from tests.engine import DAY, MAPPING, MIB, SECOND, START, Engine, running
from tests.plans import plan_of

OTHER = "other"
ANN = {"id": "evt_1", "guid": "guid-ann", "email": "ann@example.com"}


@pytest.fixture
def both(store: Store, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """The engine of the account in use, and that of another one, over one store."""
    with running(store, tmp_path / "main") as main, running(store, tmp_path / "other", OTHER) as other:
        yield main, other


def test_the_same_event_in_two_accounts_is_two_events(both: tuple[Engine, Engine]) -> None:
    main, other = both
    first, second = main.post({**ANN, "city": "Rome"}), other.post({**ANN, "city": "Oslo"})

    assert first != second, "it is not a duplicate of the other account's"
    assert (main.post({**ANN, "city": "Rome"}), other.post({**ANN, "city": "Oslo"})) == (first, second)
    assert main.work() == [("guid-ann", {"city": "Rome"})]
    assert other.work() == [("guid-ann", {"city": "Oslo"})]


def test_the_same_email_in_two_accounts_is_two_leads(both: tuple[Engine, Engine]) -> None:
    main, other = both
    main.post({**ANN, "city": "Rome"})
    other.post({**ANN, "city": "Oslo"})
    main.work()
    other.work()

    mine, theirs = main.lead("ann@example.com"), other.lead("ann@example.com")
    assert mine.id != theirs.id
    assert (mine.account, theirs.account) == (MAIN_ACCOUNT, OTHER)
    assert (main.values("guid-ann"), other.values("guid-ann")) == ({"city": "Rome"}, {"city": "Oslo"})


def test_what_a_person_links_is_linked_in_one_account(both: tuple[Engine, Engine]) -> None:
    main, other = both
    main.post(ANN)
    other.post(ANN)
    main.translate()
    other.translate()
    key = ("customer", "cus_1")

    link(main.store, OTHER, lambda: main.now, key, other.lead("guid-ann").id)
    assert unlink(main.store, MAIN_ACCOUNT, lambda: main.now, key) is None
    assert unlink(main.store, OTHER, lambda: main.now, key) == 0


def test_a_sender_cannot_name_a_key_of_another_account(both: tuple[Engine, Engine]) -> None:
    main, other = both
    main.post({**ANN, "id": f"\x1f{OTHER}\x1fevt_1", "city": "Rome"})
    other.post({**ANN, "city": "Oslo"})

    assert other.work() == [("guid-ann", {"city": "Oslo"})]


def test_claims_take_what_is_of_the_account(both: tuple[Engine, Engine]) -> None:
    main, other = both
    other.post({**ANN, "city": "Oslo"})
    with main.store.write() as connection:
        assert not inbox.anything_received(connection, MAIN_ACCOUNT, main.now)
        assert inbox.claim_events(connection, MAIN_ACCOUNT, "w", other.now, other.now + 1, limit=9) == []
        assert inbox.waiting_sources(connection, OTHER) == ["shop"]
    other.translate()
    later = other.now + DAY
    with main.store.write() as connection:
        assert records.next_due_at(connection, MAIN_ACCOUNT) is None
        assert records.claim_due(connection, MAIN_ACCOUNT, "w", later, later + 1, limit=9) == []
        assert records.next_due_at(connection, OTHER) is not None
        (taken,) = records.claim_due(connection, OTHER, "w", later, later + 1, limit=9)
        records.release(connection, MAIN_ACCOUNT, "w", later)
        assert records.recover_expired(connection, MAIN_ACCOUNT, later + DAY) == 0
        assert records.recover_expired(connection, OTHER, later + DAY) == 1
    assert taken.account == OTHER


def test_fetches_and_held_requests_are_apart(store: Store, both: tuple[Engine, Engine]) -> None:
    main, other = both
    other.post(ANN)
    with store.write() as connection:
        (event,) = inbox.claim_events(connection, OTHER, "w", other.now, other.now + 1, limit=9)
        fetches.enqueue(connection, OTHER, [(event.id, "shop")], other.now)
        assert fetches.waiting_sources(connection, MAIN_ACCOUNT) == []
        assert not fetches.any_due(connection, MAIN_ACCOUNT, "shop", other.now)
        until = other.now + SECOND
        assert fetches.claim(connection, MAIN_ACCOUNT, "w", "shop", now=other.now, until=until, limit=9) == []
        (job,) = fetches.claim(connection, OTHER, "w", "shop", now=other.now, until=until, limit=9)
        store_arrivals(connection, [Arrival(replace(job.event.request, source="mill"), held=True)])
    assert job.event.account == OTHER
    with store.read() as connection:
        assert held_rows.held_by_source(connection, MAIN_ACCOUNT) == {}
        assert held_rows.held_sources(connection, OTHER) == ["mill"]
        assert held_rows.next_held(connection, MAIN_ACCOUNT, "mill", 9) == []
    main.write_mapping(MAPPING.replace("source: shop", "source: mill"), "mill")
    assert HeldRequests(store, MAIN_ACCOUNT, main.sources, max_body_bytes=MIB).step() == 0


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda c: records.claim_due(c, OTHER, "w", 9, 9, limit=9), "leads_due_of_account"),
        (lambda c: records.next_due_at(c, OTHER), "leads_due_of_account"),
        (lambda c: fetches.any_due(c, OTHER, "shop", 9), "fetches_due_of_account"),
        (lambda c: fetches.waiting_sources(c, OTHER), "fetches_due_of_account"),
        (lambda c: held_rows.held_sources(c, OTHER), "requests_held"),
        (lambda c: held_rows.next_held(c, OTHER, "shop", 9), "requests_held"),
    ],
)
def test_what_waits_is_found_by_an_index_that_begins_with_the_account(
    store: Store, query: Callable[[Connection], object], index: str
) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    account = f"CASE WHEN i % 1000 = 0 THEN '{OTHER}' ELSE '{MAIN_ACCOUNT}' END"
    leads = (
        "INSERT INTO leads (id, state, document, updated_at, priority, due_at, account) "
        f"{numbers} SELECT 'l' || i, 'due', '{{}}', 1, i % 2, i, {account} FROM n"
    )
    waiting = (
        f"INSERT INTO fetches (event_id, source, due_at, account) {numbers} "
        f"SELECT 'e' || i, 'shop', i, {account} FROM n"
    )
    held = (
        "INSERT INTO requests (id, source, received_at, client, method, url, headers, body_size, held, "
        f"account) {numbers} SELECT 'r' || i, 'shop', 1, '', '', '', '{{}}', 0, 1, {account} FROM n"
    )
    with store.write() as connection:
        for statement in (leads, waiting, held, *(() if store.is_sqlite else ("ANALYZE",))):
            connection.execute(text(statement))
    plan = plan_of(store, query)
    assert index in plan, plan
    assert "TEMP B-TREE FOR ORDER" not in plan, plan


def test_budgets_and_pauses_are_apart(store: Store) -> None:
    with store.write() as connection:
        for account, slots in ((MAIN_ACCOUNT, 2), (OTHER, 3)):
            budget.ensure_slots(connection, account, budget.REQUESTS, slots)
        taken = budget.free_slots(connection, OTHER, budget.REQUESTS, START, 9)
        budget.occupy(connection, OTHER, dict.fromkeys(taken, START + SECOND))
        assert budget.count_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, START) == (2, 2)
        assert budget.count_slots(connection, OTHER, budget.REQUESTS, START) == (3, 0)
        assert budget.next_free_at(connection, MAIN_ACCOUNT, budget.REQUESTS) == 0
        budget.pause(connection, OTHER, Pause(START + DAY, 1, "HubSpot answered 401"))
        assert budget.current_pause(connection, MAIN_ACCOUNT) == Pause(0, 0, None)
        budget.resume(connection, MAIN_ACCOUNT)
        assert budget.current_pause(connection, OTHER).pauses == 1
        pause_rows.pause_source(connection, OTHER, "shop", START + DAY, before=0, reason="answered 503")
        assert pause_rows.source_pauses(connection, MAIN_ACCOUNT) == {}


def test_an_account_that_is_refused_holds_up_no_other(both: tuple[Engine, Engine]) -> None:
    main, other = both
    other.hubspot.outcome = Outcome(
        "stop", 401, Cause("token_refused", "HubSpot answered 401", "set a token")
    )
    other.post({**ANN, "city": "Oslo"})
    other.work()
    main.post({**ANN, "city": "Rome"})

    assert main.work() == [("guid-ann", {"city": "Rome"})]
    with main.store.read() as connection:
        assert budget.current_pause(connection, OTHER).until > other.now
        assert budget.current_pause(connection, MAIN_ACCOUNT).pauses == 0


def test_tokens_are_apart(store: Store) -> None:
    credentials = Credentials("client", "secret", "refresh")
    tokens = {
        account: SharedToken(
            store, account, token_rows.HUBSPOT, lambda: START, credentials,
            fetch=lambda _, name=account: Grant(f"token of {name}", 1800, "refresh"),  # type: ignore[misc]
        )
        for account in (MAIN_ACCOUNT, OTHER)
    }  # fmt: skip
    assert {account: token.value() for account, token in tokens.items()} == {
        MAIN_ACCOUNT: f"token of {MAIN_ACCOUNT}",
        OTHER: f"token of {OTHER}",
    }
    tokens[OTHER].expired(f"token of {OTHER}")
    with store.read() as connection:
        assert token_rows.stored_token(connection, MAIN_ACCOUNT, token_rows.HUBSPOT).expires_at > START
        assert token_rows.stored_token(connection, OTHER, token_rows.HUBSPOT).expires_at == 0


def test_each_account_is_told_of_its_own_dead_letters(both: tuple[Engine, Engine]) -> None:
    main, other = both
    for engine in both:
        engine.post({**ANN, "score": "many"})
        engine.translate()
    posted: list[object] = []

    def post(message: object) -> NotTaken | None:
        posted.append(message)
        return None

    later = other.now + DAY
    for account in (OTHER, OTHER, MAIN_ACCOUNT):
        Alerts(main.store, account, lambda: later, post).step(lambda: False)

    assert len(posted) == 2, "one for each account"
    with main.store.read() as connection:
        mine, theirs = (alert_rows.told(connection, account) for account in (MAIN_ACCOUNT, OTHER))
    assert mine.keys() == theirs.keys()
    assert {told.account for told in theirs.values()} == {OTHER}


def test_a_retry_and_a_replay_leave_the_other_account_alone(both: tuple[Engine, Engine]) -> None:
    main, other = both
    for engine in both:
        engine.post({**ANN, "score": "many"})
        engine.translate()
    main.retry_dead()
    with main.store.read() as connection:
        assert count_dead_events(connection, MAIN_ACCOUNT, cause=None, source=None) == {}
        assert sum(count_dead_events(connection, OTHER, cause=None, source=None).values()) == 1
    main.change_mapping("score: {from: score, write: sum}", "state: city")
    assert main.replay().events == 0, "its one event waits for translation"
    assert other.replay().events == 1


def test_views_show_what_is_of_the_account_and_say_so_in_json(both: tuple[Engine, Engine]) -> None:
    main, other = both
    request = other.post({**ANN, "city": "Oslo"})
    other.post({**ANN, "id": "evt_2", "score": "many"})
    other.post(ANN, token="forged")
    other.translate()
    lead = other.lead("guid-ann").id
    now = other.now + SECOND
    with main.store.read() as connection:
        assert list_events(connection, MAIN_ACCOUNT, limit=9) == []
        assert find_event(connection, MAIN_ACCOUNT, f"{request}-0") is None
        assert event_page(connection, MAIN_ACCOUNT, request, most_body_bytes=MIB) is None
        assert find_request(connection, MAIN_ACCOUNT, request) is None
        assert list_rejected(connection, MAIN_ACCOUNT, limit=9) == []
        assert list_leads(connection, MAIN_ACCOUNT, now=now, limit=9) == []
        assert find_lead(connection, MAIN_ACCOUNT, "ann@example.com", now) is None
        assert find_lead(connection, MAIN_ACCOUNT, lead, now) is None
        assert lead_details(connection, MAIN_ACCOUNT, lead, now=now) is None
        assert dead_groups(connection, MAIN_ACCOUNT) == []
        assert source_activities(connection, MAIN_ACCOUNT, ["shop"], now) == {"shop": SourceActivity()}
        assert read_ages(connection, MAIN_ACCOUNT, now) == Ages(None, None)
        nothing = read_backlog(connection, MAIN_ACCOUNT)
        assert (nothing.leads_waiting, nothing.dead_events) == (0, {})

        events = [EVENTS.as_json(line) for line in list_events(connection, OTHER, limit=9)]
        assert {(event["account"], event["source_event_id"]) for event in events} == {
            (OTHER, "evt_1"), (OTHER, "evt_2"),
        }  # fmt: skip
        assert [line.account for line in list_rejected(connection, OTHER, limit=9)] == [OTHER]
        assert [known.identifiers["email"] for known in list_leads(connection, OTHER, now=now, limit=9)] == [
            "ann@example.com"
        ]
        status = STATUS.as_json(read_status(connection, OTHER, now, RateLimit(100, 10)))
        assert (status["account"], status["leads"]["waiting"]) == (OTHER, 1)


def test_every_row_says_whose_it_is(both: tuple[Engine, Engine]) -> None:
    _, other = both
    other.post({**ANN, "city": "Oslo"})
    other.post({**ANN, "id": "evt_2", "score": "many"})
    other.work()
    Alerts(other.store, OTHER, lambda: other.now + DAY, None).step(lambda: False)
    with other.store.read() as connection:
        for name in ("requests", "events", "leads", "identifiers", "updates", "attempts", "alerts"):
            table = metadata.tables[name]
            found = connection.execute(select(table.c.account, func.count()).group_by(table.c.account)).all()
            assert [row.account for row in found] == [OTHER], name


def test_rows_of_programs_that_know_no_accounts_are_of_the_account_in_use(store: Store) -> None:
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO events (id, request_id, position, source, dedup_key, state) "
                "VALUES ('r-0', 'r', 0, 'shop', 'evt_1', 'received')"
            )
        )
        assert inbox.waiting_sources(connection, MAIN_ACCOUNT) == ["shop"]
