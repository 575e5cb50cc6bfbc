"""The stand-in held to the protocol by hubspot-api-client, HubSpot's own client of today's API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hubspot import HubSpot
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException

from integration.sandbox import SandboxServer, run_sandbox

TOKEN = "token-of-this-test"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN) as server:
        body = {"email": "ann@example.com", "city": "Berlin"}
        requests.put(f"{server.url}/_sandbox/contacts/1", json=body, timeout=5).raise_for_status()
        yield server


@pytest.fixture
def client(sandbox: SandboxServer) -> Any:
    return HubSpot(access_token=TOKEN, host=sandbox.url)


def test_get_by_id_and_by_email(client: Any) -> None:
    api = client.crm.contacts.basic_api
    assert api.get_by_id("1", properties=["city"]).properties["city"] == "Berlin"
    assert api.get_by_id("ann@example.com", id_property="email").id == "1"
    with pytest.raises(ApiException) as missing:
        api.get_by_id("9")
    assert missing.value.status == 404


def test_update_create_and_archive(client: Any) -> None:
    api = client.crm.contacts.basic_api
    updated = api.update("1", SimplePublicObjectInput(properties={"city": "Paris"}))
    assert updated.properties["city"] == "Paris"
    created = api.create(SimplePublicObjectInputForCreate(properties={"email": "bob@example.com"}))
    assert api.get_by_id(created.id, properties=["email"]).properties["email"] == "bob@example.com"
    with pytest.raises(ApiException) as conflict:
        api.create(SimplePublicObjectInputForCreate(properties={"email": "bob@example.com"}))
    assert (conflict.value.status, "Existing ID" in conflict.value.body) == (409, True)
    api.archive(created.id)
    with pytest.raises(ApiException):
        api.get_by_id(created.id)


def test_batches(client: Any) -> None:
    api = client.crm.contacts.batch_api
    rows = [SimplePublicObjectBatchInput(id="1", properties={"city": "Rome"})]
    assert (
        api.update(BatchInputSimplePublicObjectBatchInput(inputs=rows)).results[0].properties["city"]
        == "Rome"
    )
    wanted = BatchReadInputSimplePublicObjectId(
        inputs=[SimplePublicObjectId(id="ann@example.com")],
        id_property="email",
        properties=["city"],
        properties_with_history=[],
    )
    assert [found.id for found in api.read(wanted).results] == ["1"]


def test_search(client: Any) -> None:
    wanted = Filter(property_name="email", operator="EQ", value="ANN@example.com")
    request = PublicObjectSearchRequest(filter_groups=[FilterGroup(filters=[wanted])], properties=["email"])
    found = client.crm.contacts.search_api.do_search(request)
    assert [contact.id for contact in found.results] == ["1"]


def test_properties(client: Any) -> None:
    found = {item.name: item for item in client.crm.properties.core_api.get_all("contacts").results}
    assert found["closedate"].type == "datetime"
    assert found["createdate"].modification_metadata.read_only_value
    assert "customer" in [option.value for option in found["lifecyclestage"].options]


def test_a_refresh_token(client: Any) -> None:
    granted = client.oauth.tokens_api.create(
        grant_type="refresh_token", client_id="c", client_secret="s", refresh_token="r"
    )
    assert granted.access_token
    assert granted.expires_in == 1800
