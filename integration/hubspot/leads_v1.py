"""HubSpot's Leads API v1: one PUT per lead.

`PUT {base}/leads/v1/lead/{guid}?access_token=...` with the changed fields and the guid as JSON; says
http://developers.hubspot.com/docs/methods/leads/update_lead (2026-11-23). The token stands in the URL,
so no URL ever gets into an outcome or a log.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from integration.core.clock import Clock, now
from integration.core.errors import shorten
from integration.core.values import Bundle, Cause, Outcome, Wire
from integration.http.client import Answer, NoAnswer
from integration.http.oauth import Token, TokenUnavailableError
from integration.hubspot.caller import Caller
from integration.hubspot.hubspot_token import after_expiry
from integration.hubspot.outcomes import ambiguous, judged, no_such_api, not_found, unreadable

_WRITE_HEADERS = {
    "Content-Type": "application/json",  # exactly this; the page warns that otherwise nothing is applied
}
_LONGEST_LIST = 100  # the most that the API lists: http://developers.hubspot.com/docs/methods/leads/get_leads


class LeadsV1:
    """The Leads API v1 as a destination. One HTTP request per bundle, whatever their number."""

    name = "leads-v1"
    id_kind = "guid"
    finds_by = frozenset({"email"})
    can_create = False  # only by a form that answers no guid: http://developers.hubspot.com/docs/methods/leads/create_lead
    max_batch = 1
    most_cost = 1

    def __init__(self, caller: Caller, token: Token, clock: Clock = now) -> None:
        self._caller = caller
        self._token = token
        self._clock = clock

    def request_kind(self, bundle: Bundle) -> str:
        """Finds are searches, reads are GETs, writes are PUTs."""
        return "find" if bundle.finds else "read" if bundle.reads else "write"

    def is_search(self, request_kind: str) -> bool:
        """Looking a lead up by email is one."""
        return request_kind == "find"

    def cost(self, request_kind: str) -> int:  # noqa: ARG002 - the protocol's
        """Always one."""
        return 1

    def send(self, bundles: Sequence[Bundle]) -> list[Outcome]:
        """Send each bundle: one outcome for each, in their order. Never raises for what HubSpot does."""
        return [self._send_one(bundle) for bundle in bundles]

    def _send_one(self, bundle: Bundle) -> Outcome:
        if not bundle.finds and (cause := _unusable(bundle.identifiers.get("guid", ""))):
            return Outcome("set_aside", cause=cause)
        try:
            token = self._token.value()
        except TokenUnavailableError as error:
            return Outcome("stop", cause=error.cause)
        answer = self._request(bundle, token)
        outcome = judged(answer, self._clock())
        if isinstance(answer, NoAnswer):
            return outcome
        if bundle.finds and answer.status == 404:  # a list may be empty, but it is always there
            return no_such_api(outcome)
        if outcome.kind != "done":
            return after_expiry(outcome, answer, self._token, token)
        return _with_found(outcome, bundle, answer) if bundle.finds else _with_values(outcome, bundle, answer)

    def _request(self, bundle: Bundle, token: str) -> Answer | NoAnswer:
        query = {"access_token": token}
        if bundle.finds:
            query = {"search": bundle.finds[0].value, "max": str(_LONGEST_LIST), **query}
            return self._caller.request("GET", f"/leads/v1/list?{urlencode(query)}", headers={}, secret=token)
        path = f"/leads/v1/lead/{quote(bundle.identifiers['guid'], safe='')}?{urlencode(query)}"
        if bundle.reads:
            return self._caller.request("GET", path, headers={}, secret=token)
        return self._caller.request("PUT", path, headers=_WRITE_HEADERS, secret=token, body=_body(bundle))


def _unusable(guid: str) -> Cause | None:
    if not guid.strip():
        cure = "add `lead.guid` to the mapping, then replay the event"
        return Cause("missing_guid", "the Leads API knows a lead by its guid only, and this has none", cure)
    if not guid.isprintable() or guid in (".", ".."):
        cure = "correct `lead.guid` in the mapping, then replay the event"
        return Cause("invalid_guid", f"{shorten(guid)} cannot be the guid of a lead", cure)
    return None


def _body(bundle: Bundle) -> bytes:
    """The changed fields and the guid; a blank field is "", as the API clears it."""
    fields = {name: "" if value is None else value for name, value in bundle.fields.items()}
    return json.dumps({**fields, "guid": bundle.identifiers["guid"]}).encode()


def _with_found(outcome: Outcome, bundle: Bundle, answer: Answer) -> Outcome:
    """The outcome with the guid of the lead that has exactly this email: search finds parts of names too."""
    content = answer.content
    found = content.get("leads") if isinstance(content, dict) else content
    if not isinstance(found, list) or not all(isinstance(lead, dict) for lead in found):
        return unreadable(outcome)
    email = bundle.finds[0].value.casefold()
    guids = sorted(
        {
            str(lead["guid"])
            for lead in found
            if lead.get("guid") and str(lead.get("email")).casefold() == email and not lead.get("isDeleted")
        }
    )
    if not guids:
        return not_found("HubSpot has no lead with this email")
    return replace(outcome, found={"guid": guids[0]}) if len(guids) == 1 else ambiguous("guid", guids)


def _with_values(outcome: Outcome, bundle: Bundle, answer: Answer) -> Outcome:
    """The outcome with the values of the fields that were asked for.

    HubSpot's page shows a list of one lead, its old clients read an object; a field that was never set is
    absent, null, "" or, for times, 0 (http://developers.hubspot.com/docs/methods/leads/get_lead, 2026-11-23).
    """
    if not bundle.reads:
        return outcome
    content: Any = answer.content
    lead = content[0] if isinstance(content, list) and content else content
    if not isinstance(lead, dict):
        return unreadable(outcome)
    return replace(outcome, values={name: _known_value(name, lead.get(name)) for name in bundle.reads})


def _known_value(name: str, value: object) -> Wire | None:
    never = value == 0 and name.endswith("At")
    return value if isinstance(value, str | int | float | bool) and not never else None
