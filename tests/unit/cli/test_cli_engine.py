"""The commands over the engine: status, dead, replay."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from integration.cli import moments, progress
from integration.cli.moments import moment
from integration.core.clock import now
from integration.core.values import MAIN_ACCOUNT, Cause, Outcome
from integration.core.words import shown_span
from integration.pipeline.replay import Replay
from integration.store import budget
from integration.store.budget import Pause
from integration.store.engine import Store
from integration.store.pause_rows import pause_source
from tests.engine import DAY, SECOND, START, Engine, running
from tests.unit.cli.conftest import Run, change, lines

REFUSED = Cause("refused_by_hubspot", "HubSpot answered 400: no such city", "correct the mapping, then retry")


@pytest.fixture
def engine(shop_store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("SHOP_TOKEN", "opensesame")
    with running(shop_store, shop.parent.parent) as engine:
        yield engine


class TestStatus:
    def test_all_at_rest(self, engine: Engine, run: Run) -> None:
        engine.post({"id": "a", "guid": "ann", "city": "Rome"})
        engine.work()
        assert lines(run("status").output) == [
            "events    none waits for translation",
            "leads     none has unsent changes",
            "due       no lead waits for its turn",
            "delivery  works",
            (
                "budget    10,000 of 10,000 requests per 10 s left now; "
                "0 requests in the last 5 minutes, 0 a minute"
            ),
            "clear     nothing waits for HubSpot",
            "dead      none",
        ]

    def test_a_backlog_a_pause_and_dead_letters(self, engine: Engine, run: Run) -> None:
        engine.post({"id": "a", "guid": "ann", "score": "many"})
        engine.now = now() - 60 * SECOND
        engine.post({"id": "b", "guid": "bob", "city": "Rome"})
        engine.translate()
        engine.post({"id": "c", "guid": "cleo", "city": "Rome"})
        with engine.store.write() as connection:
            budget.ensure_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, 2)
            budget.pause(connection, MAIN_ACCOUNT, Pause(now() + 3600 * SECOND, 1, "HubSpot answered 401"))
        said = dict(line.split(maxsplit=1) for line in lines(run("status").output))
        assert said["events"].startswith("1 wait for translation, the oldest for ")
        assert said["leads"].startswith("1 with unsent changes, the oldest for ")
        assert said["leads"].endswith("; 0 on their way")
        assert said["delivery"] == "paused for another 60 min: HubSpot answered 401"
        assert said["clear"] == (
            "in about 60 min: after the pause, 1 lead, one request each, at 2 per 10 s; "
            "leads that fail take longer"
        )
        code = next(iter(json.loads(run("status", "--json").output)["dead"]["events"]))
        assert said["dead"] == f"1 event ({code}); `leadwire dead` says what to do"
        found = json.loads(run("status", "--json").output)
        assert found["events"]["waiting"] == found["leads"]["waiting"] == 1
        assert found["budget"]["left_now"] == 2
        assert found["delivery"]["reason"] == "HubSpot answered 401"
        assert 3500 < found["seconds_until_clear"] < 3610

    def test_an_api_of_a_source_that_is_paused_is_told_with_reason(self, engine: Engine, run: Run) -> None:
        with engine.store.write() as connection:
            until = now() + 3600 * SECOND
            pause_source(connection, MAIN_ACCOUNT, "shop", until, before=0, reason="it answered 503")
            pause_source(connection, MAIN_ACCOUNT, "till", now() - SECOND, before=0, reason="it answered 500")
        said = dict(line.split(maxsplit=1) for line in lines(run("status").output))
        assert said["apis"] == (
            "shop: paused for another 60 min: it answered 503; "
            "till: was paused, and is tried with one request at a time: it answered 500"
        )
        shop, till = json.loads(run("status", "--json").output)["source_apis"]
        assert (shop["source"], shop["pauses"], shop["reason"]) == ("shop", 1, "it answered 503")
        assert shop["paused_until"].endswith("Z")
        assert till["paused_until"] is None

    @pytest.mark.parametrize(
        ("seconds", "shown"),
        [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (9_000, "2 h 30 min"), (190_000, "2 d 4 h")],
    )
    def test_spans_are_readable(self, seconds: float, shown: str) -> None:
        assert shown_span(seconds) == shown


class TestDead:
    @pytest.fixture(autouse=True)
    def letters(self, engine: Engine) -> None:
        for name in ("a", "b"):
            self.event = engine.post({"id": name, "guid": "ann", "score": "many"}) + "-0"
        engine.hubspot.outcome = Outcome("set_aside", 400, REFUSED)
        engine.post({"id": "c", "guid": "bob", "city": "Romme"})
        engine.work()
        self.lead = engine.lead("bob").id

    def test_they_are_grouped_by_cause_with_example_and_cure(self, run: Run) -> None:
        text = run("dead").output
        groups = text.split("\n\n")
        assert "2 events: " in groups[0]
        assert "sets score to 'many'" in groups[0]
        assert f"leadwire dead show {self.event}" in groups[0]
        assert lines(groups[1]) == [
            "1 lead: refused_by_hubspot",
            "example  HubSpot answered 400: no such city",
            "cure     correct the mapping, then retry",
            "oldest   2025-11-24 16:00:03 UTC",
            "newest   2025-11-24 16:00:03 UTC",
            f"see it   leadwire dead show {self.lead}",
            "retry    leadwire dead retry --cause refused_by_hubspot",
        ]

    def test_groups_as_json(self, run: Run) -> None:
        of_events, of_leads = json.loads(run("dead", "--json").output)["dead"]
        assert (of_events["kind"], of_events["count"], of_events["example"]) == ("event", 2, self.event)
        assert of_leads == {
            "kind": "lead",
            "cause": "refused_by_hubspot",
            "count": 1,
            "oldest": "2025-11-24T16:00:03Z",
            "newest": "2025-11-24T16:00:03Z",
            "example": self.lead,
            "detail": REFUSED.detail,
            "cure": REFUSED.cure,
            "account": "main",
        }

    def test_the_letters_of_one_cause(self, run: Run) -> None:
        code = json.loads(run("dead", "--json").output)["dead"][0]["cause"]
        page = json.loads(run("dead", "--cause", code, "--limit", "1", "--json").output)
        assert [letter["id"] for letter in page["letters"]] == [self.event]
        assert page["next"] == self.event
        text = run("dead", "--cause", code, "--before", self.event).output
        assert len([line for line in lines(text) if "  shop " in line]) == 1
        assert self.lead in run("dead", "--cause", "refused_by_hubspot").output
        assert run("dead", "--cause", "other").output == "There are no dead letters of this cause.\n"

    def test_one_letter_whole(self, engine: Engine, run: Run) -> None:
        assert "sets score to 'many'" in run("dead", "show", self.event).output
        assert "HubSpot answered 400: no such city" in run("dead", "show", "bob").output
        assert json.loads(run("dead", "show", self.lead, "--json").output)["state"] == "dead"
        fine = engine.post({"id": "d", "guid": "cleo"}) + "-0"
        engine.translate()
        gone = run("dead", "show", fine)
        assert (gone.exit_code, f"{fine!r} is not a dead letter (any more): it is " in gone.stderr) == (
            2,
            True,
        )
        assert "there is no dead letter 'nobody'" in run("dead", "show", "nobody").stderr

    def test_retry_says_how_many(self, engine: Engine, run: Run) -> None:
        assert run("dead", "retry", "--lead", "bob").output == "Tried again: 0 events, 1 lead.\n"
        assert engine.lead("bob").state == "due"
        found = json.loads(run("dead", "retry", "--all", "--json").output)
        assert found == {"events": 2, "leads": 0}
        assert run("dead", "retry", "--source", "shop").output == "There are no such dead letters.\n"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "say which: --cause, --source or --lead, or --all of them"),
            (["--all", "--cause", "x"], "say which: --cause, --source or --lead, or --all of them"),
            (["--source", "shop", "--lead", "bob"], "--source means events, --lead means a lead"),
            (["--lead", "nobody"], "there is no lead 'nobody'; `leadwire leads` lists them"),
        ],
    )
    def test_a_retry_must_say_what_is_meant(self, run: Run, options: list[str], message: str) -> None:
        result = run("dead", "retry", *options)
        assert result.exit_code == 2
        assert message in result.stderr


class TestReplay:
    @pytest.fixture(autouse=True)
    def history(self, engine: Engine) -> None:
        self.event = engine.post({"id": "a", "guid": "ann", "city": "Rome", "town": "Ostia"}) + "-0"
        engine.post({"id": "b", "guid": "bob", "city": "Oslo", "town": "Oslo"})
        engine.work()
        engine.change_mapping("      city: city", "      city: town")

    def test_it_counts_and_the_workers_send_what_differs(self, engine: Engine, run: Run) -> None:
        assert lines(run("replay").output) == [
            "Looked at 2 events.",
            (
                "1 event asks for something else now; 1 lead rebuilt. "
                "What differs from HubSpot is sent by the workers, after live changes."
            ),
        ]
        engine.now = now()
        assert engine.work() == [("ann", {"city": "Ostia"})]

    def test_a_dry_run_shows_lead_by_lead_what_would_change(self, engine: Engine, run: Run) -> None:
        said = lines(run("replay", "--dry-run").output)
        assert said[0].split() == ["lead", "field", "HubSpot", "has", "would", "be", "event", "mapping"]
        assert said[2].split() == [
            "ann", "city", '"Rome"', '"Ostia"', self.event, "mappings/shop/mapping.yaml:16",
        ]  # fmt: skip
        assert said[3:] == [
            "Looked at 2 events.",
            (
                "1 event asks for something else now; the next request would change for 1 lead. "
                "Nothing was stored or sent."
            ),
        ]
        assert engine.work() == []

    def test_json(self, engine: Engine, run: Run) -> None:
        counts = {"events": 2, "matched": 2, "changed": 1, "leads": 1, "interrupted": False}
        assert json.loads(run("replay", "--dry-run", "--json").output) == {
            "dry_run": True,
            **counts,
            "changes": [
                {
                    "lead": engine.lead("ann").id,
                    "identifiers": {"guid": "ann"},
                    "fields": [
                        {
                            "field": "city",
                            "hubspot_has": "Rome",
                            "would_send": True,
                            "would_be": "Ostia",
                            "event": self.event,
                            "place": "mappings/shop/mapping.yaml:16",
                        }
                    ],
                }
            ],
        }
        assert json.loads(run("replay", "--json").output) == {"dry_run": False, **counts}

    def test_only_what_is_meant(self, run: Run) -> None:
        def looked_at(*options: str) -> list[int]:
            found = json.loads(run("replay", "--dry-run", "--json", *options).output)
            return [found["events"], found["matched"]]

        assert looked_at("--source", "shop", "--type", "paid") == [2, 2]
        assert looked_at("--where", "town == 'Ostia'") == [2, 1]
        assert looked_at("--since", "2025-11-24T16:00:02") == [1, 1]
        assert looked_at("--until", "2025-11-24T17:00:02+01:00") == [1, 1]
        assert looked_at("--since", "1h") == [0, 0]
        assert "1 left alone by --where" in run("replay", "--where", "town == 'Ostia'").output

    def test_rejected_requests(self, engine: Engine, run: Run) -> None:
        engine.environ["SHOP_TOKEN"] = "mistyped"
        engine.post({"id": "c", "guid": "cleo", "city": "Bonn", "town": "Bonn"})
        would = run("replay", "--rejected", "--dry-run").output
        assert would == "Verified 1 rejected request again: 1 would be accepted. Nothing was stored.\n"
        done = run("replay", "--rejected", "--json").output
        assert json.loads(done) == {"dry_run": False, "requests": 1, "accepted": 1, "interrupted": False}
        assert engine.work() == [("cleo", {"city": "Bonn"})]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--source", "shopp"], "there is no source named 'shopp'; there are: shop"),
            (
                ["--since", "yesterday"],
                "'yesterday' is not a time: write 2026-11-23, 2026-11-23T15:00Z, or 2h (ago)",
            ),
            (["--since", "1h", "--until", "2h"], "--since must be before --until"),
            (["--rejected", "--type", "paid"], "a rejected request has no type or payload yet"),
        ],
    )
    def test_wrong_usage(self, run: Run, options: list[str], message: str) -> None:
        result = run("replay", *options)
        assert result.exit_code == 2
        assert message in result.stderr

    def test_a_condition_that_cannot_be_read(self, run: Run) -> None:
        result = run("replay", "--where", "town ==")
        assert result.exit_code == 1
        assert result.stderr.startswith("leadwire: --where is not a JMESPath expression: ")

    def test_a_broken_mapping_is_said_and_its_events_are_left_alone(self, shop: Path, run: Run) -> None:
        change(shop / "mapping.yaml", "source: shop", "source: other")
        result = run("replay")
        assert "2 left alone for want of a usable mapping" in result.stdout
        assert result.stderr == "Left alone: what came from shop; `leadwire check` says why.\n"
        assert run("replay", "--source", "shop").exit_code == 1

    def test_ctrl_c_ends_it_after_the_batch_in_hand(
        self, engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = Replay._replace

        def interrupted(self: Replay, items: object) -> tuple[int, int]:
            os.kill(os.getpid(), signal.SIGINT)
            assert self._stop.wait(10)
            return replace(self, items)  # type: ignore[arg-type]

        monkeypatch.setattr(Replay, "_replace", interrupted)
        result = run("replay")
        assert result.exit_code == 1
        assert "1 event asks for something else now" in result.stdout
        assert result.stderr.startswith("Interrupted. What is done stays done; run the same command again")
        assert engine.work() == [("ann", {"city": "Ostia"})], "what it left marked, a worker rebuilds"


class TestProgress:
    def test_plain_lines_every_few_seconds(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        with progress.progress("Replaying", 2000) as report:
            report(1000, "12 differ")
            report(2000, "")
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "Replaying: 1,000 of 2,000; 12 differ\nReplaying: 2,000 of 2,000\n"

    def test_a_bar_on_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        with progress.progress("Replaying", 2) as report:
            report(2, "1 differ")
        assert "Replaying" in capsys.readouterr().err


class TestMoments:
    @pytest.mark.parametrize(
        "text", ["2025-11-24T16:00:00", "2025-11-24T16:00Z", "2025-11-24T17:00:00+01:00", "20251124T160000Z"]
    )
    def test_iso_8601_in_utc_unless_said_otherwise(self, text: str) -> None:
        assert moment(text) == START

    @pytest.mark.parametrize(
        ("text", "ago"), [("90s", 90 * SECOND), ("2h", DAY // 12), ("3d", 3 * DAY), ("1w", 7 * DAY)]
    )
    def test_how_long_ago(self, text: str, ago: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(moments, "now", lambda: START)
        assert moment(text) == START - ago

    @pytest.mark.parametrize("text", ["", "2h30m", "2026-13-01", "1960-01-01", "-2h", "999999w"])
    def test_anything_else_is_wrong_usage(self, text: str) -> None:
        with pytest.raises(click.BadParameter, match="is not a time"):
            moment(text)
