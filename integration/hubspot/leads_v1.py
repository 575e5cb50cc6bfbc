"""HubSpot's Leads API v1: one PUT per lead.

`PUT {base}/leads/v1/lead/{guid}?access_token=...` with the changed fields and the guid as JSON; says
http://developers.hubspot.com/docs/methods/leads/update_lead (2026-11-23). The token stands in the URL,
so no URL ever gets into an outcome or a log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from integration.core.clock import Clock, now
from integration.core.errors import shorten
from integration.core.values import Cause, Create, Find, Operation, Outcome, Read, Wire, Write
from integration.http.client import Answer, NoAnswer
from integration.http.oauth import Token, TokenUnavailableError
from integration.hubspot.caller import Caller
from integration.hubspot.family import Family, Verb
from integration.hubspot.hubspot_token import after_expiry
from integration.hubspot.outcomes import ambiguous, judged, no_such_api, not_found, unreadable

_WRITE_HEADERS = {
    "Content-Type": "application/json",  # exactly this; the page warns that otherwise nothing is applied
}
_FIND = Family(Verb.FIND, found_by="email", is_search=True)
_READ = Family(Verb.READ)
_WRITE = Family(Verb.WRITE)
_LONGEST_LIST = 100  # the most that the API lists: http://developers.hubspot.com/docs/methods/leads/get_leads


class LeadsV1:
    """The Leads API v1 as a destination. One HTTP request per operation, whatever their number."""

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

    def family(self, operation: Operation) -> Family:
        """Finds are searches, reads are GETs, writes are PUTs."""
        match operation:
            case Find():
                return _FIND
            case Read():
                return _READ
            case Write() | Create():
                return _WRITE

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Send each operation: one outcome for each, in their order. Never raises for what HubSpot does."""
        return [self._send_one(operation) for operation in operations]

    def _send_one(self, operation: Operation) -> Outcome:
        if not isinstance(operation, Find) and (cause := _unusable(operation.identifiers.get("guid", ""))):
            return Outcome("set_aside", cause=cause)
        try:
            token = self._token.value()
        except TokenUnavailableError as error:
            return Outcome("stop", cause=error.cause)
        answer = self._request(operation, token)
        outcome = judged(answer, self._clock())
        if isinstance(answer, NoAnswer):
            return outcome
        if isinstance(operation, Find) and answer.status == 404:  # a list may be empty, but is always there
            return no_such_api(outcome)
        if outcome.kind != "done":
            return after_expiry(outcome, answer, self._token, token)
        return _with_content(outcome, operation, answer)

    def _request(self, operation: Operation, token: str) -> Answer | NoAnswer:
        query = {"access_token": token}
        match operation:
            case Find(sought=sought):
                path = _path("list", {"search": sought[0].value, "max": str(_LONGEST_LIST), **query})
                return self._caller.request("GET", path, headers={}, secret=token)
            case Read(identifiers=known):
                return self._caller.request("GET", _lead_path(known, query), headers={}, secret=token)
            case Write(identifiers=known, fields=fields) | Create(identifiers=known, fields=fields):
                path, body = _lead_path(known, query), _body(known, fields)
                return self._caller.request("PUT", path, headers=_WRITE_HEADERS, secret=token, body=body)


def _lead_path(identifiers: Mapping[str, str], query: Mapping[str, str]) -> str:
    return _path(f"lead/{quote(identifiers['guid'], safe='')}", query)


def _path(of: str, query: Mapping[str, str]) -> str:
    return f"/leads/v1/{of}?{urlencode(query)}"


def _unusable(guid: str) -> Cause | None:
    if not guid.strip():
        cure = "add `lead.guid` to the mapping, then replay the event"
        return Cause("missing_guid", "the Leads API knows a lead by its guid only, and this has none", cure)
    if not guid.isprintable() or guid in (".", ".."):
        cure = "correct `lead.guid` in the mapping, then replay the event"
        return Cause("invalid_guid", f"{shorten(guid)} cannot be the guid of a lead", cure)
    return None


def _body(identifiers: Mapping[str, str], fields: Mapping[str, Wire | None]) -> bytes:
    """The changed fields and the guid; a blank field is "", as the API clears it."""
    values = {name: "" if value is None else value for name, value in fields.items()}
    return json.dumps({**values, "guid": identifiers["guid"]}).encode()


def _with_content(outcome: Outcome, operation: Operation, answer: Answer) -> Outcome:
    """The outcome of what HubSpot took, with what its answer tells."""
    match operation:
        case Find(sought=sought):
            return _with_found(outcome, sought[0].value, answer)
        case Read(names=names):
            return _with_values(outcome, names, answer)
        case Write() | Create():
            return outcome


def _with_found(outcome: Outcome, email: str, answer: Answer) -> Outcome:
    """The outcome with the guid of the lead that has exactly this email: search finds parts of names too."""
    content = answer.content
    found = content.get("leads") if isinstance(content, dict) else content
    if not isinstance(found, list) or not all(isinstance(lead, dict) for lead in found):
        return unreadable(outcome)
    wanted = email.casefold()
    guids = sorted(
        {
            str(lead["guid"])
            for lead in found
            if lead.get("guid") and str(lead.get("email")).casefold() == wanted and not lead.get("isDeleted")
        }
    )
    if not guids:
        return not_found("HubSpot has no lead with this email")
    return replace(outcome, found={"guid": guids[0]}) if len(guids) == 1 else ambiguous("guid", guids)


def _with_values(outcome: Outcome, names: Sequence[str], answer: Answer) -> Outcome:
    """The outcome with the values of the fields that were asked for.

    HubSpot's page shows a list of one lead, its old clients read an object; a field that was never set is
    absent, null, "" or, for times, 0 (http://developers.hubspot.com/docs/methods/leads/get_lead, 2026-11-23).
    """
    content: Any = answer.content
    lead = content[0] if isinstance(content, list) and content else content
    if not isinstance(lead, dict):
        return unreadable(outcome)
    return replace(outcome, values={name: _known_value(name, lead.get(name)) for name in names})


def _known_value(name: str, value: object) -> Wire | None:
    never = value == 0 and name.endswith("At")
    return value if isinstance(value, str | int | float | bool) and not never else None
