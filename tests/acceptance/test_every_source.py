"""Every source end to end: its example, signed as the sender signs, to the PUT that HubSpot got."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import delete

from integration.authoring.rehearse import rehearse
from integration.cli.payloads import answer_from_file, request_from_file
from integration.config.sources import Configuration, Source, load_configuration
from integration.core.clock import now
from integration.core.values import MAIN_ACCOUNT, RawRequest, Secret, Wire
from integration.lead.merge import before as lead_before
from integration.lead.merge import same
from integration.lead.record import Record
from integration.mapping import MappingTest
from integration.store.backlog import read_backlog
from integration.store.engine import Store
from integration.store.identifiers import link
from integration.store.records import add
from integration.store.tables import metadata
from tests import paypal
from tests.acceptance.deployment import Deployment
from tests.docs_tables import ROOT
from tests.made_up import made_up_secret
from tests.standin import StandIn, standing_in

LIMIT = 1_048_576
PUBLIC_URL = "https://hooks.example.com"
OF_LEADS = {"requests", "events", "leads", "identifiers", "updates", "attempts", "fetches", "alerts"}
LEAD = "8a41f2f22906b93a012906b9438f0077"


@cache
def all_sources() -> Configuration:
    return load_configuration(ROOT / "mappings", {})


def cases() -> Iterator[Any]:
    for name, source in all_sources().sources.items():
        assert isinstance(source, Source), source
        for test in source.mapping.tests:
            if test.expect:
                yield pytest.param(source, test, id=f"{name}: {test.name}")


@dataclass
class Running:
    deployment: Deployment
    store: Store
    api: StandIn
    paypal: StandIn

    def forget_everything(self) -> None:
        """Empty store and stand-in, so that one deployment serves all tests."""
        self.deployment.wait_until(self.nothing_is_on_its_way, "the worker is done with the test before")
        requests.post(f"{self.deployment.sandbox.url}/_sandbox/reset", timeout=10).raise_for_status()
        with self.store.write() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name in OF_LEADS:
                    connection.execute(delete(table))

    def nothing_is_on_its_way(self) -> bool:
        with self.store.read() as connection:
            return read_backlog(connection, MAIN_ACCOUNT).leads_leased == 0

    def puts(self) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.deployment.sandbox.url}/_sandbox/requests", timeout=10)
        answer.raise_for_status()
        return [entry for entry in answer.json() if entry["method"] == "PUT" and entry["status"] == 200]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("every")
    url = f"sqlite:///{folder}/leadwire.db"
    with standing_in() as api, standing_in() as certificates, standing_in() as grants:
        certificates.body = paypal.certificate()
        grants.body = b'{"access_token": "made-up", "expires_in": 1800}'
        settings: dict[str, Any] = {
            name: made_up_secret(source)
            for source in all_sources().sources.values()
            if isinstance(source, Source)
            for name in source.mapping.verify.secrets[:1]
        }
        fetching = {
            name: "user:made-up"
            for source in all_sources().sources.values()
            if isinstance(source, Source) and source.mapping.fetch
            for name in source.mapping.fetch.settings
        }
        settings |= fetching
        settings |= {"PUBLIC_URL": PUBLIC_URL, "FETCH_ALLOW_PRIVATE": "true", "STANDIN_URL": api.url}
        ready = Deployment(url, folder, workers=1, **settings)
        lay_out(folder / "mappings", certificates, grants)
        with ready as deployment:
            store = Store(url)
            yield Running(deployment, store, api, certificates)
            store.dispose()


def lay_out(mappings: Path, certificates: StandIn, grants: StandIn) -> None:
    """The shipped mappings; what they fetch comes from the stand-in for the sources' APIs, PayPal's
    certificate and access tokens from others.
    """
    shutil.rmtree(mappings)
    shutil.copytree(ROOT / "mappings", mappings)
    for file in mappings.glob("*/mapping.yaml"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^  base: .*$", "  base: {setting: STANDIN_URL}", text)
        text = re.sub(r"(?m)^      token_url: .*$", f"      token_url: {grants.url}/token", text)
        host = certificates.url.removeprefix("http://")
        text = text.replace("scheme: paypal\n", f"scheme: paypal\n  certificate_hosts: ['{host}']\n")
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("source", "test"), list(cases()))
def test_an_example_ends_as_a_put(source: Source, test: MappingTest, running: Running) -> None:
    running.forget_everything()
    url = f"{PUBLIC_URL}/hooks/{source.name}" + (f"?{test.query}" if test.query else "")
    request = request_from_file(source, test.given, test.headers, url)
    fetched = answer_from_file(source, test.fetched)
    running.api.body = fetched.body if fetched else b"{}"
    rehearsal = rehearse(all_sources(), source, request, max_body_bytes=LIMIT, fetched=fetched)
    of_test = next(event for event in rehearsal.events if event.incoming.position == test.position)
    guid = seed(running, of_test.identifiers, test.lead_before)

    secret = Secret(source.mapping.verify.secrets[0], made_up_secret(source))
    signed = as_sent(source, request, secret, running)
    query = signed.url.partition("?")[2]
    answer = requests.post(
        f"{running.deployment.url}/hooks/{source.name}" + (f"?{query}" if query else ""),
        data=signed.body,
        headers=dict(signed.headers),
        timeout=30,
    )

    assert 200 <= answer.status_code < 300, answer.text
    expected = {name: plain(value) for name, value in (test.expect or {}).items()}
    running.deployment.wait_until(lambda: arrived(running, guid, expected), f"PUT of {expected}", seconds=8)
    body = sent_to(running, guid)
    assert body.pop("guid", guid) == guid
    if len(rehearsal.events) == 1:
        assert body == expected
    assert other_than(running.deployment.lead(guid), {**test.lead_before, **(test.expect or {})}) == {}


def as_sent(source: Source, request: RawRequest, secret: Secret, running: Running) -> RawRequest:
    """The request with what its sender adds."""
    if source.name == "paypal":  # nobody else can sign: the tests have a PayPal of their own
        return paypal.signed(request, secret.value, f"{running.paypal.url}/v1/notifications/certs/CERT-1")
    return source.scheme.sign(request, secret, now())


def seed(running: Running, identifiers: Mapping[str, str], before: Mapping[str, Wire | None]) -> str:
    """Put the lead in place by the best that the event knows it by; returns its guid.

    Where the lead has something before, or the event knows it by other keys only, earlier events told of it:
    Leadwire knows it, and what it has.
    """
    guid = identifiers.get("guid", LEAD)
    fields: dict[str, Wire] = {name: value for name, value in before.items() if value is not None}
    fields |= {"email": identifiers["email"]} if "email" in identifiers else {}
    base = running.deployment.sandbox.url
    requests.put(f"{base}/_sandbox/leads/{guid}", json=fields, timeout=10).raise_for_status()
    if before or not {"guid", "email"} & set(identifiers):
        know(running.store, {**identifiers, "guid": guid}, before)
    return guid


def know(store: Store, identifiers: Mapping[str, str], has: Mapping[str, Wire | None]) -> None:
    """The store knows a lead by these identifiers, and that HubSpot has these values of it."""
    with store.write() as connection:
        add(connection, [Record(MAIN_ACCOUNT, "lead-1", fields=lead_before(has))], now())
        assert link(connection, MAIN_ACCOUNT, dict.fromkeys(identifiers.items(), "lead-1"))


def other_than(lead: Mapping[str, Any], wanted: Mapping[str, Wire | None]) -> dict[str, Any]:
    """The fields in which the lead at HubSpot is another than wanted. HubSpot gives times as numbers."""
    return {
        name: lead.get(name)
        for name, value in wanted.items()
        if not same(str(lead[name]) if name.endswith("At") and name in lead else lead.get(name), value)
    }


def plain(value: Any) -> Any:
    """A value as it comes out of JSON."""
    return float(value) if not isinstance(value, str | bool | type(None)) else value


def sent_to(running: Running, guid: str) -> dict[str, Any]:
    """All that the PUTs to this lead held, the later over the earlier."""
    merged: dict[str, Any] = {}
    for entry in running.puts():
        if guid in entry["path"]:
            merged |= {name: plain(value) for name, value in entry["body"].items()}
    return merged


def arrived(running: Running, guid: str, expected: dict[str, Any]) -> bool:
    return expected.items() <= sent_to(running, guid).items()
