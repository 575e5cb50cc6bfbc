"""`leadwire fields pull`, and what `check` then finds: a mapping against what the account really has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from integration.config.sources import Sources
from integration.core.clock import now
from integration.core.errors import LeadwireError
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.http.oauth import StaticToken
from integration.lead.catalogue import PortalProperty
from integration.lead.fields_file import load_catalogue
from integration.operate.account_check import PortalWatch, write_portal
from integration.sandbox import SandboxServer, run_sandbox
from integration.sandbox.contact_store import Property
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
        "mappings/shop/mapping.yaml:18: rules[0].set.plan: 'Basic' is not an option of the property plan"
        " (plan) (use one of Pro, Max)"
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
def test_two_fields_that_are_one_property_are_told(shop: Path, run: Run) -> None:
    fields = shop.parent / "fields.yaml"
    fields.write_text(f"{fields.read_text()}contacts: {{properties: {{tier: city}}}}\n")
    run("fields", "pull")

    assert (
        "mappings/shop/mapping.yaml:19: rules[0].set.tier: tier is the property city, and so is city: one"
        " would overwrite the other (name another property for one of them under `contacts:` in"
        " mappings/fields.yaml)"
    ) in lines(run("check").output)


@pytest.mark.usefixtures("sandbox", "shop_store")
def test_a_token_that_expired_early_is_renewed(
    sandbox: SandboxServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
        monkeypatch.setenv(f"HUBSPOT_{name}", f"made-up-{name}")
    assert run("fields", "pull").exit_code == 0
    requests.post(f"{sandbox.url}/_sandbox/oauth", json={"expire_all": True}, timeout=5).raise_for_status()
    assert run("fields", "pull").exit_code == 0


PULLED = {"plan": PortalProperty("plan", "enumeration", ("yes", "Pro"))}
WRITTEN = """\
# What the HubSpot account has. `leadwire fields pull` writes this part again; the rest is yours.
portal:
  plan: {type: enumeration, options: [yes, Pro]}
"""


@pytest.mark.parametrize(
    "portal", ["", "portal: {city: {type: string}}\n", "portal:\n  city: {\n    type: string}\n"]
)
@pytest.mark.parametrize(
    "below", ["", "\n# about contacts\ncontacts:\n    properties: {'plan':   \"x\"}  # odd\n\n# end\n"]
)
def test_what_people_wrote_stays_to_the_letter_however_often_it_is_pulled(
    tmp_path: Path, portal: str, below: str
) -> None:
    file = tmp_path / "fields.yaml"
    above = '# ours\nversion: 1\nfields:\n    plan:   {type: text,  # one\n             label: "Plan"}\n'
    file.write_text(above + portal + below)

    write_portal(file, PULLED)
    first = file.read_text()
    write_portal(file, PULLED)

    assert first == (f"{above}\n{WRITTEN}{below}" if portal else f"{above}{below}\n{WRITTEN}")
    assert file.read_text() == first
    assert load_catalogue(file, "fields.yaml").portal == PULLED


@pytest.mark.parametrize(
    ("text", "words"),
    [("version: 1\nfields: {a: [}\n", ":2"), ("{version: 1, fields: {}}\n", "without braces")],
)
def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "fields.yaml"
    file.write_text(text)
    with pytest.raises(LeadwireError, match=words):
        write_portal(file, PULLED)
    assert file.read_text() == text


def test_without_a_file_one_is_made(tmp_path: Path) -> None:
    write_portal(tmp_path / "fields.yaml", PULLED)
    assert (tmp_path / "fields.yaml").read_text() == f"version: 1\nfields: {{}}\n\n{WRITTEN}"


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
        budget.ensure_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, 5)
    time = [now()]
    watch = PortalWatch(
        shop_store,
        MAIN_ACCOUNT,
        Settings.read(),
        Sources(shop.parent),
        StaticToken(TOKEN),
        clock=lambda: time[0],
    )
    assert watch.step() == 3
    assert watch.step() == 0, "not before a day is over"
    requests.delete(f"{sandbox.url}/_sandbox/properties/city", timeout=5).raise_for_status()
    time[0] += 25 * 3600 * 1_000_000
    assert watch.step() == 4
    assert "HubSpot has no property city (city)" in caplog.text


def test_the_daily_look_at_the_account_takes_a_slot_of_the_budget(
    shop: Path, sandbox: SandboxServer, shop_store: Store
) -> None:
    with shop_store.write() as connection:
        budget.ensure_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, 1)
    time = [now()]
    workers = [
        PortalWatch(
            shop_store,
            MAIN_ACCOUNT,
            Settings.read(),
            Sources(shop.parent),
            StaticToken(TOKEN),
            clock=lambda: time[0],
        )
        for _ in range(2)
    ]

    def requests_after_all_looked() -> int:
        for worker in workers:
            worker.step()
        return int(requests.get(f"{sandbox.url}/_sandbox/stats", timeout=5).json()["requests"])

    assert requests_after_all_looked() == 1, "there is room for one request"
    assert requests_after_all_looked() == 1
    time[0] += 3600 * 1_000_000
    assert requests_after_all_looked() == 2, "the other looks once there is room"
