"""`leadwire fields pull`, and what `check` then finds: a mapping against what the account really has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from integration.clock import now
from integration.hubspot.tokens import StaticToken
from integration.pipeline.contract import PortalWatch
from integration.pipeline.sources import Sources
from integration.sandbox import SandboxServer, run_sandbox
from integration.sandbox.contacts import Property
from integration.settings import Settings
from integration.store import budget
from integration.store.engine import Store
from tests.unit.cli.conftest import Run, change, lines

TOKEN = "token-of-this-test"
CUSTOM = (Property("plan", "enumeration", ("Pro", "Max")), Property("tier", "number"))
FIELDS = """\
# Ours, with a remark.
version: 1
fields:
  plan: {type: text, label: The plan}   # bought last
  tier: {type: text}
"""


@pytest.fixture
def sandbox(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN, properties=CUSTOM) as server:
        monkeypatch.setenv("HUBSPOT_BASE_URL", server.url)
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", TOKEN)
        monkeypatch.setenv("HUBSPOT_API", "contacts")
        (shop.parent / "fields.yaml").write_text(FIELDS)
        more = "      city: city\n      plan: {value: Basic}\n      tier: tier\n"
        change(shop / "mapping.yaml", "      city: city\n", more)
        change(shop / "mapping.yaml", "expect: {", "expect: {plan: Basic, ")
        yield server


@pytest.mark.usefixtures("shop_store")
def test_pulled_properties_are_checked_against(shop: Path, sandbox: SandboxServer, run: Run) -> None:
    assert "No problems" in run("check").output
    assert "3 fields of your mappings would be refused: see `leadwire check`." in run("fields", "pull").output
    text = (shop.parent / "fields.yaml").read_text()
    assert text.startswith(FIELDS), "what people wrote stays as it is"
    assert "lifecyclestage: {type: enumeration, options: [subscriber, lead," in text
    checked = run("check")
    assert checked.exit_code == 1
    plan, tier, score, *_ = lines(checked.output)
    assert plan == (
        "mappings/shop/mapping.yaml:18: rules[0].set.plan: 'Basic' is no option of the property plan (plan)"
        " (use one of Pro, Max)"
    )
    assert tier == (
        "mappings/shop/mapping.yaml:19: rules[0].set.tier: tier is of type text, and the property tier of "
        "type number (correct the type in mappings/fields.yaml, or the property in HubSpot)"
    )
    assert score == (
        "mappings/shop/mapping.yaml:20: rules[0].set.score: contacts have no property that takes score: "
        "HubSpot computes scores itself (take it out)"
    )
    requests.delete(f"{sandbox.url}/_sandbox/properties/city", timeout=5).raise_for_status()
    run("fields", "pull")
    assert "HubSpot has no property city (city)" in run("check").output


@pytest.mark.usefixtures("sandbox", "shop_store")
def test_a_token_that_hubspot_refuses_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "another")
    failed = run("fields", "pull")
    assert failed.exit_code == 1
    assert "HubSpot answered 401" in failed.stderr
    assert "another" not in failed.stderr


def test_a_worker_looks_once_a_day_and_warns(
    shop: Path, shop_store: Store, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    with shop_store.write() as connection:
        budget.ensure_slots(connection, 5)
    time = [now()]
    watch = PortalWatch(
        shop_store, Settings.read(), Sources(shop.parent), StaticToken(TOKEN), lambda: time[0]
    )
    assert watch.step() == 3
    assert watch.step() == 0, "not before a day is over"
    requests.delete(f"{sandbox.url}/_sandbox/properties/city", timeout=5).raise_for_status()
    time[0] += 25 * 3600 * 1_000_000
    assert watch.step() == 4
    assert "HubSpot has no property city (city)" in caplog.text
