"""The leads of the stand-in: their records, what an update does to one, and how they are searched.

By HubSpot's pages http://developers.hubspot.com/docs/methods/leads/update_lead, get_lead and get_leads
(2026-11-23). Where they are silent:

- An update with a field that is not editable, or a value that cannot be one of the field's type, is
  refused whole.
- The body's guid may also be given as `id`, as HubSpot's own PHP client does.
- A value of a field with a number or a boolean may be text (`"1323293954000"`, `"true"`), as clients send it.
- "" blanks a field: the lead then has the value that a new lead has there.
- A search never gives more than 100 leads, also when asked for more. It leaves deleted leads out, unless
  `includeDeleted=true`, and under a `timePivot` also those to which that never happened.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

Lead = dict[str, Any]

NOT_EDITABLE = frozenset(
    {
        "guid",
        "id",
        "leadId",
        "isCustomer",
        "lastConvertedAt",
        "lastModifiedAt",
        "leadJsonLink",
        "leadLink",
        "leadNurturingActive",
        "LeadNurturingActive",
        "numConversionEvents",
        "portalId",
        "publicLeadLink",
        "sourceValueModifiedAt",
        "analyticsDetails",
        "crmDetails",
        "leadConversionEvents",
    }
)
_TEXTS = """
    address city company country email fax firstCampaign firstName firstRefDomain firstReferrer firstURL
    foundVia fullFoundViaString industry ipAddress jobTitle lastName message phone salutation sourceValue1
    sourceValue2 state twitterHandle userToken website zip
"""
_NUMBERS = "numConversionEvents rawScore score sourceId"
_TIMES = """
    closedAt customerStatusModifiedAt firstVisitSetAt insertedAt lastConvertedAt lastModifiedAt
    sourceValueModifiedAt
"""
_BOOLEANS = "eligibleForEmail emailBounced emailOptOut imported isCustomer isDeleted leadNurturingActive"
_PORTAL_ID = 62515
_NEW_LEAD: Lead = {
    **dict.fromkeys(_TEXTS.split(), ""),
    **dict.fromkeys(f"{_NUMBERS} {_TIMES}".split(), 0),
    **dict.fromkeys(_BOOLEANS.split(), False),
    "leadNurturingCampaignId": -1,
    "portalId": _PORTAL_ID,
    "analyticsDetails": {
        "allViewsImported": False,
        "countsModifiedAt": 0,
        "firstVisitAt": 0,
        "lastPageViewAt": 0,
        "lastVisitAt": 0,
        "pageViewCount": 0,
        "visitCount": 0,
    },
    "crmDetails": {},
    "leadConversionEvents": [],
    "leadCustomerStatusModifyLogs": [],
    "leadDeleteLogs": [],
}
_PARTS = tuple(name for name, value in _NEW_LEAD.items() if isinstance(value, dict | list))

MAX_FOUND = 100
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DEFAULT_FOUND = 10
_SEARCHED = ("firstName", "lastName", "email", "company")
_SORTS = {
    **{name: name for name in ("firstName", "lastName", "email", "address", "phone")},
    **{name: name for name in ("insertedAt", "lastModifiedAt", "closedAt")},
    "fce.convertDate": "firstConvertedAt",
    "lce.convertDate": "lastConvertedAt",
}
_PIVOTS = ("insertedAt", "firstConvertedAt", "lastConvertedAt", "lastModifiedAt", "closedAt")
_FLAGS = {
    "optout": ("emailOptOut", True),
    "emailOptOut": ("emailOptOut", True),
    "eligibleForEmail": ("eligibleForEmail", True),
    "bounced": ("emailBounced", True),
    "isNotImported": ("imported", False),
    "notImported": ("imported", False),
}


class RefusedError(Exception):
    """The request asks for something that cannot be; the message says what."""


def new_lead(guid: str, number: int, at: int, fields: Mapping[str, Any]) -> Lead:
    """The full record of a lead that came at `at` (milliseconds since 1970), with `fields` as given.

    Raises RefusedError if a field cannot have the value.
    """
    lead = copy.deepcopy(_NEW_LEAD)
    links = {
        "leadJsonLink": f"https://api.hubapi.com/leads/v1/lead/{guid}",
        "leadLink": f"https://app.hubspot.com/leads/details/{guid}",
        "publicLeadLink": f"https://app.hubspot.com/leads/public/leadDetails?leadGuid={guid}",
    }
    lead.update(guid=guid, id=guid, leadId=number, insertedAt=at, lastModifiedAt=at, **links)
    lead.update({name: _as_stored(name, value) for name, value in fields.items() if name not in _PARTS})
    lead.update({name: fields[name] for name in _PARTS if name in fields}, guid=guid)
    if "isCustomer" not in fields:
        lead["isCustomer"] = bool(lead["closedAt"])
    return lead


def updated(lead: Lead, body: Mapping[str, Any], at: int) -> Lead:
    """The lead after a PUT of `body` at `at` (milliseconds since 1970). Raises RefusedError."""
    changes = _changes(lead, body)
    refused = sorted(NOT_EDITABLE & changes.keys())
    if refused:
        raise RefusedError(f"not editable: {', '.join(refused)}")
    after = {**lead, **{name: _as_stored(name, value) for name, value in changes.items()}}
    after["isCustomer"] = bool(after["closedAt"])
    if after["isCustomer"] != lead["isCustomer"]:
        after["customerStatusModifiedAt"] = at
    after["lastModifiedAt"] = at
    return after


def search(leads: Iterable[Lead], asked: Mapping[str, str], at: int) -> list[Lead]:
    """The leads that the query parameters `asked` of a list request find at `at`. Raises RefusedError."""
    guids = {value for name, value in asked.items() if name.startswith("guids[")}
    found = [lead for lead in leads if not guids or lead["guid"] in guids]
    found = [lead for lead in found if _has_flags(lead, asked) and _has_text(lead, asked.get("search", ""))]
    found = [lead for lead in found if _is_in_time(lead, asked, at)]
    found = _sorted(found, asked)
    offset = _number(asked, "offset", 0)
    found = found[offset : offset + min(_number(asked, "max", _DEFAULT_FOUND), MAX_FOUND)]
    if _flag(asked, "excludeConversionEvents"):
        return [{**lead, "leadConversionEvents": []} for lead in found]
    return found


def find_one(leads: Iterable[Lead], asked: Mapping[str, str]) -> Lead | None:
    """The lead with this `email` (of several, the one that converted first), `userToken` or
    `conversionEventGuid`. Raises RefusedError if none of them is asked for.
    """
    if asked.get("email"):
        found = [lead for lead in leads if lead["email"].lower() == asked["email"].lower()]
    elif asked.get("userToken"):
        found = [lead for lead in leads if lead["userToken"] == asked["userToken"]]
    elif asked.get("conversionEventGuid"):
        found = [lead for lead in leads if asked["conversionEventGuid"] in _conversion_guids(lead)]
    else:
        raise RefusedError("give a guid in the path, or email, userToken or conversionEventGuid")
    return min(found, key=lambda lead: (_pivot(lead, "firstConvertedAt"), lead["insertedAt"]), default=None)


def _changes(lead: Lead, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without the guid, which must stand in it and be that of the URL."""
    named = "guid" if "guid" in body else "id"
    if body.get(named) != lead["guid"]:
        raise RefusedError("the body must hold the guid of the URL as guid")
    return {name: value for name, value in body.items() if name != named}


def _as_stored(name: str, value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise RefusedError(f"{name} must be text, a number, true or false")
    default = _NEW_LEAD.get(name, value)
    if value == "" or type(default) is type(value):
        return default if value == "" else value
    if isinstance(default, bool) and value in ("true", "false"):
        return value == "true"
    if type(default) is int and isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise RefusedError(f"{name} must be {_TYPE_WORDS.get(type(default), 'text')}")


_TYPE_WORDS = {bool: "true or false", int: "a whole number", str: "text"}


def _has_flags(lead: Lead, asked: Mapping[str, str]) -> bool:
    if lead["isDeleted"] and not _flag(asked, "includeDeleted"):
        return False
    wanted = [
        (field, _flag(asked, name) is value) for name, (field, value) in _FLAGS.items() if name in asked
    ]
    return all(lead[field] is value for field, value in wanted)


def _has_text(lead: Lead, text: str) -> bool:
    return any(text.lower() in str(lead[name]).lower() for name in _SEARCHED)


def _is_in_time(lead: Lead, asked: Mapping[str, str], at: int) -> bool:
    pivot = _choice(asked, "timePivot", _PIVOTS, "lastModifiedAt")
    moment = _pivot(lead, pivot)
    if not moment and "timePivot" in asked:
        return False
    return bool(_number(asked, "startTime", 0) <= moment <= _number(asked, "stopTime", max(at, moment)))


def _sorted(leads: list[Lead], asked: Mapping[str, str]) -> list[Lead]:
    descending = _choice(asked, "dir", ("asc", "desc"), "asc") == "desc"
    if "sort" not in asked:
        return leads
    name = _SORTS[_choice(asked, "sort", tuple(_SORTS), "")]
    return sorted(leads, key=lambda lead: _pivot(lead, name), reverse=descending)


def _pivot(lead: Lead, name: str) -> Any:
    if name != "firstConvertedAt":
        return lead[name]
    return min((event.get("convertDate", 0) for event in lead["leadConversionEvents"]), default=0)


def _conversion_guids(lead: Lead) -> list[str]:
    return [event.get("guid", "") for event in lead["leadConversionEvents"]]


def _number(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, "")
    if text and not (_WHOLE.fullmatch(text) and int(text) >= 0):
        raise RefusedError(f"{name} must be a whole number")
    return int(text) if text else default


def _flag(asked: Mapping[str, str], name: str) -> bool:
    return _choice(asked, name, ("true", "false"), "false") == "true"


def _choice(asked: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    text = asked.get(name) or default
    if text not in choices:
        raise RefusedError(f"{name} must be one of {', '.join(choices)}")
    return text
