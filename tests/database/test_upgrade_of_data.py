"""Data of the schema 0006 survives every later migration: a worker then does what it would have done before.

`tests/data/schema_0006.json` has the rows of a database with events and leads in every state, the mappings
that made them, and what the program of that schema sent from there on. Migrations never change once they are
released, so the tables are made by the first six of ours.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from click.testing import CliRunner
from sqlalchemy import Connection, MetaData, text

from integration.cli import main
from integration.core.values import MAIN_ACCOUNT, Outcome
from integration.http.oauth import Credentials, Grant
from integration.pipeline.shared_token import SharedToken
from integration.store.engine import Store
from integration.store.schema import require_current
from integration.store.token_rows import HUBSPOT
from integration.store.upgrade import migrations, upgrade
from tests.engine import SECOND, Engine, running
from tests.standin import standing_in

DATA = json.loads((Path(__file__).parents[1] / "data" / "schema_0006.json").read_text(encoding="utf-8"))
CREDENTIALS = Credentials("client", "client-secret", "refresh-token")


@pytest.fixture
def old_store(database_url: str) -> Iterator[Store]:
    """A store of the schema 0006 with its data."""
    store = Store(database_url)
    with store.write() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, DATA["revision"])
    with store.write() as connection:
        fill(connection)
    yield store
    store.dispose()


@pytest.fixture
def engine(old_store: Store, tmp_path: Path) -> Iterator[Engine]:
    """The engine of today over the data of before, once it is upgraded."""
    upgrade(old_store)
    with running(old_store, tmp_path) as engine:
        for name, mapping in DATA["mappings"].items():
            engine.write_mapping(mapping, name)
        fields = tmp_path / "mappings" / "fields.yaml"
        fields.write_text("version: 1\nfields:\n  points: {type: integer}\n")
        engine.now = DATA["now"]
        yield engine


def fill(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    for name, rows in DATA["tables"].items():
        connection.execute(tables.tables[name].insert(), [decoded(row) for row in rows])


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in row.items()
    }


def work_for_an_hour(engine: Engine) -> list[tuple[str, dict[str, Any]]]:
    """What HubSpot got, sorted, once all that waited has had its turn."""
    engine.now += 3600 * SECOND
    engine.keep_leases()
    with standing_in() as api:
        api.body = json.dumps({"email": "fay@example.com", "city": "Genoa"}).encode()
        engine.environ |= {"PAY_API_URL": api.url, "PAY_API_KEY": "key"}
        engine.translate()
        engine.fetch()
        sent = [pair for _ in range(5) for pair in engine.work()]
    return sorted(sent, key=lambda pair: pair[0])


def test_the_data_has_every_state() -> None:
    tables = DATA["tables"]
    assert {row["state"] for row in tables["events"]} == {
        "received", "fetching", "translated", "ignored", "dead",
    }  # fmt: skip
    assert {row["state"] for row in tables["leads"]} == {"clean", "due", "leased", "dead"}
    assert all(tables.values()), "each table has rows"
    assert any(row["folded"] != "{}" for row in tables["leads"])
    assert any(row["refused"] != "{}" for row in tables["leads"])
    assert any(row["failing_since"] and row["state"] == "due" for row in tables["leads"])


def test_a_worker_ends_with_the_same_leads_and_sends_nothing_twice(engine: Engine) -> None:
    require_current(engine.store)

    assert work_for_an_hour(engine) == [(guid, fields) for guid, fields in DATA["after"]["sent"]]

    expected = {name: lead["values"] for name, lead in DATA["after"]["leads"].items()}
    assert {name: engine.values(name) for name in expected} == expected
    kept = {row["lead_id"] for row in DATA["tables"]["identifiers"]}
    ids = {name: lead["id"] for name, lead in DATA["after"]["leads"].items() if lead["id"] in kept}
    assert {name: engine.lead(name).id for name in ids} == ids, "people know them by these"
    assert work_for_an_hour(engine) == []


def test_dead_letters_are_still_listed_and_can_be_retried(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    listed = json.loads(CliRunner().invoke(main, ["dead", "--json"]).output)["dead"]
    assert {group["cause"] for group in listed} == dead_before()

    work_for_an_hour(engine)
    engine.hubspot.outcome = Outcome("done", 200)
    engine.retry_dead()

    assert [guid for guid, _ in work_for_an_hour(engine)] == ["guid-cem", "guid-dan"]


def dead_before() -> set[str]:
    return {
        row["cause"]
        for table in ("events", "leads")
        for row in DATA["tables"][table]
        if row["state"] == "dead"
    }


def test_a_replay_of_the_history_changes_nothing(engine: Engine) -> None:
    work_for_an_hour(engine)
    engine.replay()
    assert work_for_an_hour(engine) == []


def test_the_token_of_before_is_used(engine: Engine) -> None:
    def asked_again(_: Credentials) -> Grant:
        pytest.fail("there is a token that is good for days")

    token = SharedToken(
        engine.store, MAIN_ACCOUNT, HUBSPOT, lambda: engine.now, CREDENTIALS, fetch=asked_again
    )
    assert token.value() == "token-of-the-old-version"


def test_what_people_were_told_of_is_not_told_again(engine: Engine) -> None:
    with engine.store.read() as connection:
        found = connection.execute(text("SELECT subject, told_until FROM alerts")).all()
    before = Counter((row["subject"], row["told_until"]) for row in DATA["tables"]["alerts"])
    assert Counter(tuple(row) for row in found) == before
