"""Outgoing (level 2): the HubSpot APIs that operations are sent to, each behind the same small interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from integration.core.settings import Settings
from integration.core.values import Operation, Outcome
from integration.http.oauth import Token
from integration.hubspot.caller import Caller
from integration.hubspot.contacts import Contacts
from integration.hubspot.family import Family
from integration.hubspot.leads_v1 import LeadsV1
from integration.lead.properties import PropertyTable


class Destination(Protocol):
    """One HubSpot API. Safe to use from several threads at once."""

    @property
    def name(self) -> str:
        """The value of HUBSPOT_API that chooses it."""

    @property
    def id_kind(self) -> str:
        """The kind of identifier that a request needs to write a lead: `guid` or `contact_id`."""

    @property
    def finds_by(self) -> frozenset[str]:
        """The kinds of identifiers by which it can look a lead up."""

    @property
    def can_create(self) -> bool:
        """Whether it can create leads."""

    @property
    def max_batch(self) -> int:
        """How many operations one call can carry."""

    @property
    def most_cost(self) -> int:
        """The largest `cost` of any family."""

    def family(self, operation: Operation) -> Family:
        """What an operation shares with those that can go in one call with it."""

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Send operations of one family together: one outcome for each, in their order.

        Never raises for anything that HubSpot or the network does.
        """


Table = Callable[[], PropertyTable]


def _leads_v1(settings: Settings, token: Token, _: Table) -> Destination:
    return LeadsV1(_caller(settings), token)


def _caller(settings: Settings) -> Caller:
    return Caller(settings.hubspot_base_url, connections=settings.worker_concurrency)


def _contacts(settings: Settings, token: Token, table: Table) -> Destination:
    return Contacts(_caller(settings), token, table, version=settings.hubspot_api_version)


DESTINATIONS: Mapping[str, Callable[[Settings, Token, Table], Destination]] = {
    LeadsV1.name: _leads_v1,
    Contacts.name: _contacts,
}


def build(settings: Settings, token: Token, table: Table) -> Destination:
    """The destination that HUBSPOT_API names, with this token. `table` gives the names of properties as the
    live configuration has them; it is asked again for each request.
    """
    return DESTINATIONS[settings.hubspot_api](settings, token, table)
