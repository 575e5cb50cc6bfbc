"""The stand-in held to the protocol by hubspot3, a client of the Leads API that nobody here wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from hubspot3.error import HubspotBadRequest, HubspotNotFound, HubspotRateLimited, HubspotUnauthorized
from hubspot3.leads import LeadsClient

from integration.core.settings import RateLimit
from integration.sandbox import SandboxServer, run_sandbox

GUID = "8a41f2f22906b93a012906b9438f0008"
OTHER = "8a41f2f22906b93a012906b9438f0009"
TOKEN = "right-token"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN) as server:
        seeded = {GUID: "jane@example.com", OTHER: "john@example.com"}
        for guid, email in seeded.items():
            requests.put(f"{server.url}/_sandbox/leads/{guid}", json={"email": email}, timeout=5)
        yield server


@pytest.fixture(params=["api_key", "access_token"])
def client(sandbox: SandboxServer, request: pytest.FixtureRequest) -> LeadsClient:
    return LeadsClient(**{request.param: TOKEN}, api_base=sandbox.url)


class TestHubspot3:
    def test_gets_a_lead(self, client: LeadsClient) -> None:
        lead = client.get_lead(GUID)
        assert (lead["guid"], lead["email"], lead["isCustomer"]) == (GUID, "jane@example.com", False)

    def test_lists_leads(self, client: LeadsClient) -> None:
        assert {lead["guid"] for lead in client.get_leads()} == {GUID, OTHER}
        assert [lead["guid"] for lead in client.get_leads(search="john", max=5)] == [OTHER]
        newest_first = client.get_leads(sort="email", dir="desc", time_pivot="inserted_at")
        assert [lead["email"] for lead in newest_first] == ["john@example.com", "jane@example.com"]

    def test_updates_a_lead(self, client: LeadsClient) -> None:
        assert client.update_lead(GUID, {"city": "Cambridge", "plan": "Pro"}) in ("", b"")
        lead = client.get_lead(GUID)
        assert (lead["city"], lead["plan"]) == ("Cambridge", "Pro")
        assert client.get_lead(OTHER)["city"] == ""

    def test_closes_and_opens_a_lead(self, client: LeadsClient) -> None:
        client.close_lead(GUID, 1323293954000)
        lead = client.get_lead(GUID)
        assert (lead["isCustomer"], lead["closedAt"]) == (True, 1323293954000)
        client.open_lead(GUID)
        lead = client.get_lead(GUID)
        assert (lead["isCustomer"], lead["closedAt"]) == (False, 0)

    def test_is_told_of_an_unknown_lead(self, client: LeadsClient) -> None:
        with pytest.raises(HubspotNotFound):
            client.update_lead("f" * 32, {"city": "Cambridge"})

    def test_is_told_of_a_field_that_is_not_editable(self, client: LeadsClient) -> None:
        with pytest.raises(HubspotBadRequest):
            client.update_lead(GUID, {"isCustomer": True})

    def test_is_told_of_a_wrong_token(self, sandbox: SandboxServer) -> None:
        with pytest.raises(HubspotUnauthorized):
            LeadsClient(api_key="wrong", api_base=sandbox.url).update_lead(GUID, {"city": "Cambridge"})

    def test_is_told_of_the_rate_limit(self) -> None:
        with run_sandbox(0, RateLimit(1, 60)) as server:
            client = LeadsClient(api_key=TOKEN, api_base=server.url)
            assert client.get_leads() == []
            with pytest.raises(HubspotRateLimited):
                client.get_leads()
