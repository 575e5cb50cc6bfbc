"""What the account's contacts have: `GET /crm/v3/properties/contacts`, or of a dated version.

https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide (2026-11-23)
"""

from __future__ import annotations

from typing import Any

from integration.core.clock import now
from integration.core.errors import LeadwireError
from integration.http.client import Answer, NoAnswer
from integration.http.oauth import Token
from integration.hubspot.caller import Caller
from integration.hubspot.hubspot_token import renewed
from integration.hubspot.outcomes import judged, no_such_api
from integration.lead.catalogue import PortalProperty


class AccountError(LeadwireError):
    """HubSpot did not tell; the message says why and what to do."""


def properties_path(version: str) -> str:
    """Where the properties of contacts are."""
    return "/crm/v3/properties/contacts" if version == "v3" else f"/crm/properties/{version}/contacts"


def read_properties(caller: Caller, token: Token, version: str) -> dict[str, PortalProperty]:
    """All properties of contacts, by name. Raises AccountError or TokenUnavailableError."""
    value = token.value()
    answer = _ask(caller, value, version)
    if isinstance(answer, Answer) and renewed(answer, token, value):
        answer = _ask(caller, token.value(), version)
    outcome = judged(answer, now())
    if outcome.status == 404:
        outcome = no_such_api(outcome)
    if isinstance(answer, NoAnswer) or outcome.kind != "done":
        cause = outcome.cause
        raise AccountError(f"{cause.detail} ({cause.cure})" if cause else "HubSpot did not answer")
    content = answer.content
    listed = content.get("results") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise AccountError(
            "HubSpot's answer holds no properties (check HUBSPOT_BASE_URL and HUBSPOT_API_VERSION)"
        )
    found = [_property(item) for item in listed if isinstance(item, dict) and item.get("name")]
    return {item.name: item for item in found}


def _ask(caller: Caller, value: str, version: str) -> Answer | NoAnswer:
    headers = {"Authorization": f"Bearer {value}"}
    return caller.request("GET", properties_path(version), headers=headers, secret=value)


def _property(item: dict[str, Any]) -> PortalProperty:
    options = [option.get("value") for option in item.get("options") or [] if isinstance(option, dict)]
    change = item.get("modificationMetadata")
    read_only = bool(change.get("readOnlyValue")) if isinstance(change, dict) else False
    return PortalProperty(
        str(item["name"]),
        str(item.get("type") or "string"),
        tuple(str(option) for option in options if option is not None),
        read_only or bool(item.get("calculated")),
        bool(item.get("externalOptions")),
    )
