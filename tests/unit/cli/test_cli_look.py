"""sources, events, events show: what is stored, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.config.sources import Sources
from integration.core.clock import now
from integration.core.values import MAIN_ACCOUNT, IncomingEvent, RawRequest
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator
from integration.store.engine import Store
from integration.store.inbox import Arrival, store_arrivals
from integration.store.views.lead_views import find_lead_id
from tests.unit.cli.conftest import PAID, Run, lines

AT = 1_764_000_000_000_000  # 2025-11-24 16:00:00 UTC


def arrive(store: Store, number: int, payload: dict[str, object] | None, reason: str | None = None) -> str:
    """Store a request (without payload: one that is not JSON) as the web process does; returns its id."""
    body = json.dumps(payload).encode() if payload is not None else b"no \x1bJSON"
    request = RawRequest(MAIN_ACCOUNT,
        source="shop", method="POST", url="https://hooks.example.com/hooks/shop", query="",
        headers={"content-type": "application/json", "x-token": "sha256:ab12"}, body=body,
        received_at=AT + number * 1_000_000, client="203.0.113.9",
    )  # fmt: skip
    event = IncomingEvent(0, f"evt_{number}", "paid", None)
    arrival = (
        Arrival(request, reason=reason, detail="The token is another.")
        if reason
        else Arrival(request, (event,))
    )
    with store.write() as connection:
        return store_arrivals(connection, [arrival])[0].id


def translate(store: Store, shop: Path) -> None:
    sources = Sources(shop.parent, {})
    timing = BundleTiming.from_seconds(0, 0)
    Translator(store, MAIN_ACCOUNT, sources, now, timing, worker="w", max_body_bytes=10_000).run_once()


class TestEvents:
    def test_newest_first_with_time_source_type_state_lead_and_cause(
        self, shop: Path, shop_store: Store, run: Run
    ) -> None:
        first = arrive(shop_store, 1, {**PAID, "email": "jane@example.com"})
        second = arrive(shop_store, 2, {**PAID, "score": "many"})
        translate(shop_store, shop)
        result = run("events")
        assert result.exit_code == 0
        headings, _, newest, oldest = [line.split("  ") for line in lines(result.output)]
        assert [cell.strip() for cell in headings if cell.strip()] == [
            "id", "received", "source", "type", "state", "lead", "cause",
        ]  # fmt: skip
        assert [cell.strip() for cell in oldest if cell.strip()] == [
            f"{first}-0", "2025-11-24 16:00", "shop", "paid", "translated", "jane@example.com", "-",
        ]  # fmt: skip
        cells = [cell.strip() for cell in newest if cell.strip()]
        assert cells[:5] == [f"{second}-0", "2025-11-24 16:00", "shop", "paid", "dead"]
        assert "sets score to 'many'" in cells[-1]

    def test_a_page_tells_how_to_get_the_next_one(self, shop_store: Store, run: Run) -> None:
        ids = [arrive(shop_store, number, PAID) for number in range(3)]
        result = run("events", "--limit", "2")
        assert lines(result.output)[-1] == f"For the next page, add --before {ids[1]}-0"
        last = run("events", "--limit", "2", "--before", f"{ids[1]}-0")
        assert f"{ids[0]}-0" in last.output
        assert "next page" not in last.output

    def test_json(self, shop: Path, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, {**PAID, "email": "jane@example.com"})
        translate(shop_store, shop)
        with shop_store.read() as connection:
            lead_id = find_lead_id(connection, MAIN_ACCOUNT, "8a41")
        assert json.loads(run("events", "--limit", "1", "--json").output) == {
            "events": [
                {
                    "id": f"{id}-0",
                    "source": "shop",
                    "received_at": "2025-11-24T16:00:01Z",
                    "occurred_at": "2023-11-14T22:13:20Z",
                    "type": "paid",
                    "state": "translated",
                    "source_event_id": "evt_1",
                    "lead": {"email": "jane@example.com", "guid": "8a41"},
                    "lead_id": lead_id,
                    "cause": None,
                    "account": "main",
                }
            ],
            "next": f"{id}-0",
        }

    def test_rejected_requests_show_their_reason(self, shop_store: Store, run: Run) -> None:
        arrive(shop_store, 1, PAID)
        id = arrive(shop_store, 2, PAID, reason="signature_mismatch")
        (line,) = lines(run("events", "--state", "rejected").output)[2:]
        assert line.split() == [
            id, "2025-11-24", "16:00", "shop", "signature_mismatch", "203.0.113.9",
            "The", "token", "is", "another.",
        ]  # fmt: skip
        found = json.loads(run("events", "--state", "rejected", "--json").output)
        assert found["requests"][0]["detail"] == "The token is another."

    @pytest.mark.usefixtures("shop_store")
    def test_nothing_to_show(self, run: Run) -> None:
        assert run("events", "--state", "dead").output == "There are no such events.\n"
        assert json.loads(run("events", "--json").output) == {"events": [], "next": None}

    @pytest.mark.usefixtures("shop")
    def test_a_database_that_is_not_up_to_date(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "sqlite:///new.db")
        result = run("events")
        assert (result.exit_code, result.stderr) == (
            1,
            "leadwire: The database at sqlite:///new.db is not up to date: run `leadwire db upgrade`.\n",
        )

    @pytest.mark.usefixtures("shop_store")
    def test_an_unknown_state_is_wrong_usage(self, run: Run) -> None:
        assert run("events", "--state", "done").exit_code == 2


class TestShow:
    def test_an_event_whole(self, shop: Path, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, PAID)
        translate(shop_store, shop)
        shown = [" ".join(line.split()) for line in lines(run("events", "show", f"{id}-0").output)]
        assert shown[:5] == [
            f"Request {id}",
            "source shop",
            "received 2025-11-24 16:00:01 UTC",
            "from 203.0.113.9",
            "request POST https://hooks.example.com/hooks/shop",
        ]
        assert '"city": "Rome"' in shown
        assert "x-token sha256:ab12" in shown
        assert 'city "Rome" latest mappings/shop/mapping.yaml:17' in shown
        assert shown[-2:] == ["Attempts that carried it (the lead is due)", "None yet."]

    def test_a_request_with_its_events(self, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, PAID)
        shown = run("events", "show", id).output
        assert f"Event {id}-0" in shown
        assert json.loads(run("events", "show", id, "--json").output)["events"][0]["state"] == "received"

    def test_a_rejected_request_and_a_body_that_is_no_json(self, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, None, reason="signature_mismatch")
        shown = run("events", "show", id).output
        assert "rejected  signature_mismatch: The token is another." in lines(shown)
        assert "no \\x1bJSON" in lines(shown)

    def test_json(self, shop: Path, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, PAID)
        translate(shop_store, shop)
        found = json.loads(run("events", "show", f"{id}-0", "--json").output)
        assert found["request"]["body"] == PAID
        assert found["request"]["rejected"] is None
        assert found["event"]["changes"][1]["place"] == "mappings/shop/mapping.yaml:17"
        assert (found["event"]["lead_state"], found["event"]["attempts"]) == ("due", [])

    @pytest.mark.usefixtures("shop_store")
    @pytest.mark.parametrize("id", ["01NOTHING", "01NOTHING-0", ""])
    def test_an_id_that_is_not_there_is_wrong_usage(self, run: Run, id: str) -> None:
        result = run("events", "show", id)
        assert result.exit_code == 2
        assert f"there is no event or request {id!r}" in result.stderr

    def test_an_event_that_its_request_does_not_have(self, shop_store: Store, run: Run) -> None:
        id = arrive(shop_store, 1, PAID)
        assert run("events", "show", f"{id}-1").exit_code == 2


class TestSources:
    def test_each_source_with_its_address_what_it_lacks_and_what_failed(
        self, shop: Path, shop_store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = shop.parent / "broken"
        broken.mkdir()
        (broken / "mapping.yaml").write_text("version: 1\nsource: broken\n")
        arrive(shop_store, 1, PAID)
        arrive(shop_store, 2, {**PAID, "score": "many"})
        arrive(shop_store, 3, PAID, reason="signature_mismatch")
        translate(shop_store, shop)
        monkeypatch.setattr("integration.cli.look_commands.now", lambda: AT)
        monkeypatch.setenv("PUBLIC_URL", "https://hooks.example.com")
        headings, _, first, second, end = lines(run("sources").output)
        assert [cell.strip() for cell in headings.split("  ") if cell.strip()] == [
            "source", "title", "files", "last event", "type", "rejected 24 h", "dead 24 h", "state", "URL",
        ]  # fmt: skip
        assert "mappings/broken/mapping.yaml:1: " in first
        assert "more: run `leadwire check`)" in first
        assert [cell.strip() for cell in second.split("  ") if cell.strip()] == [
            "shop", "A shop", "yours", "2025-11-24 16:00", "paid", "1", "1",
            "set SHOP_TOKEN or SHOP_TOKEN_OLD", "https://hooks.example.com/hooks/shop",
        ]  # fmt: skip
        assert end == "0 sources of 2 can receive."

    @pytest.mark.usefixtures("shop_store")
    def test_json_of_a_source_that_is_enabled(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOP_TOKEN", "t")
        assert json.loads(run("sources", "--json").output) == {
            "sources": [
                {
                    "source": "shop",
                    "title": "A shop",
                    "url": None,
                    "origin": "yours",
                    "enabled": True,
                    "state": "enabled",
                    "last_event": None,
                    "last_event_type": None,
                    "last_24_hours": {"rejected": 0, "dead": 0},
                    "account": "main",
                }
            ]
        }

    @pytest.mark.usefixtures("shop_store")
    def test_without_a_public_url_the_paths_are_shown(self, run: Run) -> None:
        shown = lines(run("sources").output)
        assert shown[2].split()[-1] == "/hooks/shop"
        assert shown[-1] == "Set PUBLIC_URL to see the whole URLs."

    def test_no_source_at_all(
        self, shop_store: Store, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert shop_store
        (tmp_path / "none").mkdir()
        monkeypatch.setenv("MAPPINGS_DIR", "none")
        assert run("sources").output == "There is no source in none: each is a folder with a mapping.yaml.\n"
