"""The filters of the listings, and that a narrow terminal shows what `--json` has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.core.values import Outcome
from integration.store.engine import Store
from tests.engine import Engine, running
from tests.unit.cli.conftest import Run, lines
from tests.unit.cli.test_cli_engine import REFUSED


@pytest.fixture
def engine(shop_store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Two leads with two events each, one event of another type, and a lead that nobody finds."""
    monkeypatch.setenv("SHOP_TOKEN", "opensesame")
    with running(shop_store, shop.parent.parent) as engine:
        for name in ("ann", "bob"):
            engine.post({"id": f"{name}1", "guid": name, "email": f"{name}@example.com", "city": "Rome"})
            engine.post({"id": f"{name}2", "guid": name, "city": "Oslo"})
        engine.post({"id": "other", "guid": "ann", "type": "refunded"})
        engine.work()
        engine.post({"id": "nobody", "email": "nobody@example.com", "city": "Rome"})
        engine.work()
        yield engine


def events(run: Run, *options: str) -> list[str]:
    found = json.loads(run("events", "--json", *options).output)["events"]
    return [event["source_event_id"] for event in found]


def leads(run: Run, *options: str) -> list[str]:
    found = json.loads(run("leads", "--json", *options).output)["leads"]
    return [lead["identifiers"]["email"] for lead in found]


@pytest.mark.parametrize(
    "known_by", ["ann", "guid=ann", "ann@example.com", "email=ann@example.com", "email=Ann@Example.com"]
)
def test_events_of_a_lead_by_any_identifier(engine: Engine, run: Run, known_by: str) -> None:
    assert events(run, "--lead", known_by) == ["ann2", "ann1"]
    assert events(run, "--lead", engine.lead("ann").id) == ["ann2", "ann1"]


@pytest.mark.usefixtures("engine")
def test_events_by_email_type_and_time(run: Run) -> None:
    assert events(run, "--email", "bob@example.com") == ["bob2", "bob1"]
    assert events(run, "--email", "Bob@Example.com") == ["bob2", "bob1"]
    assert events(run, "--type", "refunded") == ["other"]
    assert events(run, "--type", "refunded", "--state", "translated") == []
    second, third = "2025-11-24T16:00:02", "2025-11-24T16:00:03Z"
    assert events(run, "--since", second, "--until", third) == ["ann2"]
    assert events(run, "--since", "1h") == []


@pytest.mark.usefixtures("engine")
def test_leads_by_identifier_state_cause_and_what_they_wait_for(run: Run) -> None:
    assert leads(run, "--lead", "guid=bob") == ["bob@example.com"]
    assert sorted(leads(run, "--state", "clean")) == ["ann@example.com", "bob@example.com"]
    assert leads(run, "--waiting-for", "identity") == ["nobody@example.com"]
    assert leads(run, "--waiting-for", "hubspot") == []
    assert leads(run, "--cause", "unresolved", "--state", "due") == ["nobody@example.com"]
    assert run("leads", "--lead", "none@example.com").output == "There are no such leads.\n"
    assert json.loads(run("leads", "--lead", "guid=bob", "--json").output)["next"] is None


@pytest.mark.usefixtures("engine")
def test_the_status_says_what_leads_wait_for_and_how_to_list_them(run: Run) -> None:
    assert (
        "waiting   1 to be found at HubSpot (unresolved); `leadwire leads --waiting-for identity` lists them"
        in (lines(run("status").output))
    )
    waiting = json.loads(run("status", "--json").output)["waiting_for"]
    assert waiting["identity"] == {"leads": 1, "causes": {"unresolved": 1}}


def test_rejected_requests_by_reason(engine: Engine, run: Run) -> None:
    engine.post({"id": "x"}, token="wrong")
    found = json.loads(run("events", "--reason", "credentials_mismatch", "--json").output)["requests"]
    assert [request["reason"] for request in found] == ["credentials_mismatch"]
    assert run("events", "--reason", "missing_header").output == "There are no such requests.\n"
    assert run("events", "--state", "rejected", "--since", "1h").output == "There are no such requests.\n"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["events", "--lead", "nobody"], "there is no lead 'nobody'; `leadwire leads` lists them"),
        (["events", "--lead", "ann", "--email", "a@b.c"], "--lead and --email both mean one lead"),
        (
            ["events", "--state", "rejected", "--lead", "ann"],
            "a rejected request has no lead and no type yet",
        ),
        (["events", "--state", "dead", "--reason", "x"], "--reason is of rejected requests"),
        (["events", "--since", "yesterday"], "'yesterday' is not a time"),
        (["leads", "--lead", "ann", "--state", "due"], "--lead means one lead"),
        (["leads", "--waiting-for", "godot"], "'godot' is not one of"),
        (["sources", "shopp"], "there is no source named 'shopp'; there are: shop"),
    ],
)
def test_wrong_usage_is_said(run: Run, options: list[str], message: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_at_80_columns_no_id_name_or_field_is_broken(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "maximiliana.hohenzollern-sigmaringen@kommunikationsberatung.example.com"
    engine.hubspot.outcome = Outcome("set_aside", 400, REFUSED)
    engine.post(
        {"id": "e" * 64, "guid": "g" * 32, "email": long, "city": "東京都千代田区丸の内" * 3, "score": 1}
    )
    engine.work()
    event = json.loads(run("events", "--limit", "1", "--json").output)["events"][0]["id"]
    lead = engine.lead(long).id
    shown = {
        name: run(*command).output
        for name, command in {
            "events": ["events"], "leads": ["leads"], "dead": ["dead"],
            "letters": ["dead", "--cause", "refused_by_hubspot"],
            "event": ["events", "show", event], "lead": ["leads", "show", lead],
        }.items()
    }  # fmt: skip
    assert all(event in shown[name] for name in ("events", "event", "lead"))
    assert all(long in shown[name] for name in ("events", "leads", "letters", "event", "lead"))
    assert lead in shown["dead"]
    assert all("mappings/shop/mapping.yaml:16" in shown[name] for name in ("event", "lead"))
    for name in ("events", "leads", "dead", "letters"):
        assert all(len(line) <= 80 for line in shown[name].splitlines()), name


def test_many_sources_that_nobody_set_up_are_told_by_name(
    shop: Path, shop_store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop_store
    monkeypatch.setenv("SHOP_TOKEN", "t")
    text = (shop / "mapping.yaml").read_text().partition("tests:")[0]
    for number in range(6):
        folder = shop.parent / f"other{number}"
        folder.mkdir()
        (folder / "mapping.yaml").write_text(text.replace("shop", folder.name).replace("SHOP_", "OTHER_"))
    shown = run("sources").output
    assert "Not set up here: other0, other1, other2, other3, other4, other5. `leadwire sources NAME`" in shown
    assert "OTHER_TOKEN" not in shown
    assert "set OTHER_TOKEN or OTHER_TOKEN_OLD" in run("sources", "other3").output
    assert run("sources", "--all").output.count("set OTHER_TOKEN") == 6
    assert len(json.loads(run("sources", "--json").output)["sources"]) == 7


KEYS = {
    "events": "id source received_at occurred_at type state source_event_id lead cause",
    "requests": "id source received_at client reason detail",
    "leads": "id identifiers state unsent waiting_since failing_since cause",
    "sources": "source title url enabled state last_event last_event_type last_24_hours",
    "lead": "id identifiers state unsent waiting_since failing_since cause due_at failed_attempts updated_at "
    "fields attempts",
    "field": "value hubspot_has write occurred_at event place mapping_version",
    "attempt": "id started_at milliseconds status outcome fields detail",
    "event": "id source received_at occurred_at type state source_event_id lead cause mapping_version "
    "changes lead_state attempts fetch",
    "change": "field value write place rule",
    "request": "id source received_at client method url headers body body_size rejected",
    "status": "at events fetching leads dead delivery budget seconds_until_clear",
}


def test_the_keys_that_programs_read_stay(engine: Engine, run: Run) -> None:
    def asked(*command: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(*command, "--json").output)
        return found

    engine.post({"id": "x"}, token="wrong")
    lead = asked("leads", "show", "ann")
    event = asked("events", "show", asked("events", "--lead", "ann")["events"][0]["id"])
    found = {
        **{name: asked(name)[name][0] for name in ("events", "leads", "sources")},
        "requests": asked("events", "--state", "rejected")["requests"][0],
        "lead": lead, "field": lead["fields"]["city"], "attempt": lead["attempts"][0],
        "event": event["event"], "change": event["event"]["changes"][0], "request": event["request"],
        "status": asked("status"),
    }  # fmt: skip
    missing = {name: set(keys.split()) - found[name].keys() for name, keys in KEYS.items()}
    assert not any(missing.values()), missing
