"""try, test, check, sources, replay and events show, where a mapping has a fetch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.config.sources import Sources
from integration.core.clock import now
from integration.core.values import MAIN_ACCOUNT
from integration.pipeline.fetch import Fetcher
from integration.store.engine import Store
from tests.standin import StandIn, standing_in
from tests.unit.cli.conftest import PAID, Run, change, lines
from tests.unit.cli.test_cli_look import arrive, translate

FETCH = """\
fetch:
  base: {setting: SHOP_API_URL}
  path: /orders/{id}
  auth: {header: X-Api-Key, setting: SHOP_API_KEY}
lead:
"""
KEY = "key-that-must-stay-secret"


@pytest.fixture
def fetching(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop with a fetch that gives the city; its test gives the answer."""
    change(shop / "mapping.yaml", "lead:\n", FETCH)
    change(shop / "mapping.yaml", "city: city", "city: fetched.city")
    change(
        shop / "mapping.yaml",
        "given: examples/paid.json\n",
        "given: examples/paid.json\n    fetched: examples/order.json\n",
    )
    (shop / "examples" / "order.json").write_text('{"city": "Rome"}')
    monkeypatch.delenv("SHOP_API_KEY", raising=False)
    return shop


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with standing_in() as api:
        api.body = b'{"city": "Oslo"}'
        monkeypatch.setenv("SHOP_API_URL", api.url)
        monkeypatch.setenv("SHOP_API_KEY", KEY)
        monkeypatch.setenv("FETCH_ALLOW_PRIVATE", "true")
        yield api


@pytest.mark.usefixtures("fetching")
class TestTest:
    def test_the_answer_comes_from_a_file(self, run: Run) -> None:
        assert run("check").exit_code == 0
        result = run("test")
        assert (result.exit_code, result.output.splitlines()[-1]) == (0, "1 test, all passed.")

    def test_a_test_without_the_answer_says_what_to_give(self, fetching: Path, run: Run) -> None:
        change(fetching / "mapping.yaml", "    fetched: examples/order.json\n", "")
        result = run("test")
        assert result.exit_code == 1
        assert (
            "expected an update, got nothing before something is fetched: give what /orders/evt_1 answers as "
            "`fetched: examples/...`"
        ) in result.output

    def test_an_answer_that_cannot_be_read(self, fetching: Path, run: Run) -> None:
        (fetching / "examples" / "order.json").write_text("{")
        result = run("test")
        assert result.exit_code == 1
        assert "examples/order.json: The body is not JSON: " in result.output

    def test_check_finds_a_file_that_is_not_there(self, fetching: Path, run: Run) -> None:
        (fetching / "examples" / "order.json").unlink()
        result = run("check")
        assert result.exit_code == 1
        assert "tests[0].fetched: there is no file examples/order.json" in result.output


class TestTry:
    def test_shows_the_address_that_would_be_called(self, fetching: Path, run: Run) -> None:
        result = run("try", "shop", str(fetching / "examples/paid.json"))
        assert result.exit_code == 0
        assert "  fetch: GET /orders/evt_1 comes first; --fetched FILE gives its answer" in lines(
            result.output
        )

    def test_with_the_answer_in_a_file(self, fetching: Path, run: Run) -> None:
        answer = str(fetching / "examples/order.json")
        found = json.loads(
            run("try", "shop", str(fetching / "examples/paid.json"), "--fetched", answer, "--json").output
        )
        assert found["leads"][0]["would_send"]["city"] == "Rome"
        assert found["events"][0]["fetch"] is None

    def test_really_from_the_api(self, fetching: Path, api: StandIn, run: Run) -> None:
        result = run("try", "shop", str(fetching / "examples/paid.json"), "--fetch", "--json")
        assert json.loads(result.output)["leads"][0]["would_send"]["city"] == "Oslo"
        assert api.asked[0][0] == "/orders/evt_1"
        assert api.asked[0][1]["x-api-key"] == KEY

    @pytest.mark.parametrize(
        ("status", "said"), [(404, "127.0.0.1 answered 404; see whether"), (503, "127.0.0.1 answered 503")]
    )
    def test_what_the_api_refuses_is_said(
        self, fetching: Path, api: StandIn, run: Run, status: int, said: str
    ) -> None:
        api.status = status
        result = run("try", "shop", str(fetching / "examples/paid.json"), "--fetch")
        assert result.exit_code == 1
        assert said in result.stderr
        assert KEY not in result.stderr

    def test_an_answer_for_a_mapping_without_fetch(self, shop: Path, run: Run) -> None:
        file = str(shop / "examples/paid.json")
        result = run("try", "shop", file, "--fetched", file)
        assert (
            result.stderr == "leadwire: mappings/shop/mapping.yaml: has no `fetch:`, so nothing is fetched\n"
        )

    def test_both_ways_at_once_are_wrong_usage(self, fetching: Path, run: Run) -> None:
        file = str(fetching / "examples/paid.json")
        assert run("try", "shop", file, "--fetched", file, "--fetch").exit_code == 2


def test_sources_says_which_setting_fetching_lacks(
    fetching: Path, shop_store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetching
    assert shop_store
    monkeypatch.setenv("SHOP_TOKEN", "t")
    (line,) = json.loads(run("sources", "--json").output)["sources"]
    assert (line["enabled"], line["state"]) == (
        True, "enabled; to fetch, set SHOP_API_URL and SHOP_API_KEY",
    )  # fmt: skip


def test_show_tells_how_far_the_fetch_is(fetching: Path, api: StandIn, shop_store: Store, run: Run) -> None:
    id = arrive(shop_store, 1, PAID)
    translate(shop_store, fetching)
    (line,) = json.loads(run("events", "--state", "fetching", "--json").output)["events"]
    assert line["id"] == f"{id}-0"
    assert "none waits for translation; 1 event of shop for its API" in run("status").output
    waiting = lines(run("events", "show", f"{id}-0").output)
    assert api.asked == []
    assert waiting[-2] == "What is fetched for it"
    assert waiting[-1].startswith("next attempt  ")
    sources = Sources(fetching.parent)
    fetcher = Fetcher(
        shop_store, MAIN_ACCOUNT, sources, now, worker="w", max_body_bytes=10_000, allow_private=True
    )
    fetcher.run_once()
    fetcher.close()
    shown = lines(run("events", "show", f"{id}-0").output)
    assert "address  /orders/evt_1" in shown
    assert '  "city": "Oslo"' in shown
    fetch = json.loads(run("events", "show", f"{id}-0", "--json").output)["event"]["fetch"]
    assert (fetch["answer"], fetch["next_attempt"]) == ({"city": "Oslo"}, None)
    translate(shop_store, fetching)
    assert run("replay", "--fetch-anew").exit_code == 0
    assert json.loads(run("events", "--json").output)["events"][0]["state"] == "fetching"


@pytest.mark.usefixtures("shop_store")
def test_fetching_anew_is_not_for_rejected_requests(run: Run) -> None:
    assert run("replay", "--rejected", "--fetch-anew").exit_code == 2
