"""The settings of the way to HubSpot, each by the request that goes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from integration.config.sources import Sources
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import Write
from integration.hubspot import build
from integration.lead.properties import PropertyTable, table_of
from integration.pipeline.shared_token import token_of
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from tests.standin import StandIn, standing_in

CITY = Write("lead-1", {"contact_id": "7"}, {"city": "Rome"})


@pytest.fixture
def hubspot() -> Iterator[StandIn]:
    with standing_in() as hubspot:
        yield hubspot


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/leadwire.db")
    upgrade(store)
    yield store
    store.dispose()


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2026-03", "/crm/objects/2026-03/contacts/batch/update"),
        ("v3", "/crm/v3/objects/contacts/batch/update"),
    ],
)
def test_the_address_version_and_token_of_a_request(
    hubspot: StandIn, store: Store, tmp_path: Path, version: str, path: str
) -> None:
    settings = Settings.read(
        {
            "HUBSPOT_API": "contacts",
            "HUBSPOT_BASE_URL": hubspot.url,
            "HUBSPOT_API_VERSION": version,
            "HUBSPOT_ACCESS_TOKEN": "token-1",
            "MAPPINGS_DIR": str(tmp_path),
        }
    )
    build(settings, token_of(settings, store, now), PropertyTable).send([CITY])
    ((asked, headers),) = hubspot.asked
    assert (asked, headers["authorization"]) == (path, "Bearer token-1")


@pytest.mark.parametrize("api", ["leads-v1", "contacts"])
def test_hubspot_api_chooses_the_api(store: Store, tmp_path: Path, api: str) -> None:
    settings = Settings.read({"HUBSPOT_API": api, "MAPPINGS_DIR": str(tmp_path)})
    assert build(settings, token_of(settings, store, now), PropertyTable).name == api


def test_fields_yaml_of_mappings_dir_names_the_properties(
    hubspot: StandIn, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "fields.yaml").write_text(
        "version: 1\nfields: {}\ncontacts: {properties: {city: home_town}}\n"
    )
    settings = Settings.read(
        {"HUBSPOT_API": "contacts", "HUBSPOT_BASE_URL": hubspot.url, "HUBSPOT_ACCESS_TOKEN": "token-1",
         "MAPPINGS_DIR": str(tmp_path)}
    )  # fmt: skip
    sources = Sources(settings.mappings_dir)
    destination = build(settings, token_of(settings, store, now), lambda: table_of(sources.current.catalogue))
    destination.send([CITY])
    assert json.loads(hubspot.posted[0])["inputs"][0]["properties"] == {"home_town": "Rome"}


def test_with_a_refresh_token_the_grant_of_the_settings_is_used(hubspot: StandIn, store: Store) -> None:
    hubspot.body = json.dumps(
        {"access_token": "token-2", "expires_in": 1800, "refresh_token": "refresh-1"}
    ).encode()
    settings = Settings.read(
        {
            "HUBSPOT_BASE_URL": hubspot.url,
            "HUBSPOT_ACCESS_TOKEN": "not this one",
            "HUBSPOT_CLIENT_ID": "client-1",
            "HUBSPOT_CLIENT_SECRET": "secret-1",
            "HUBSPOT_REFRESH_TOKEN": "refresh-1",
        }
    )
    assert token_of(settings, store, now).value() == "token-2"
    asked = parse_qs(hubspot.posted[0].decode())
    assert {name: values[0] for name, values in asked.items()} == {
        "grant_type": "refresh_token",
        "client_id": "client-1",
        "client_secret": "secret-1",
        "refresh_token": "refresh-1",
    }
