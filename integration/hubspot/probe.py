"""One request that tells whether HubSpot answers, takes the token, and has our time."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urlsplit

from integration.core.clock import Clock
from integration.core.settings import Settings
from integration.core.values import MICROS_PER_SECOND, Cause
from integration.http.client import Answer, NoAnswer
from integration.http.oauth import Token, TokenUnavailableError
from integration.hubspot.account import properties_path
from integration.hubspot.caller import Caller
from integration.hubspot.leads_v1 import LeadsV1
from integration.hubspot.outcomes import judged, no_such_api

PROBE_SECONDS = 10.0
HUBSPOTS_OWN_HOST = "api.hubapi.com"


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it: `cause` None is good. `clock_ahead` is by how many seconds our clock is ahead of
    HubSpot's; None if it did not say.
    """

    cause: Cause | None
    clock_ahead: float | None = None


def switched_off(settings: Settings) -> bool:
    """Whether the settings point the Leads API at HubSpot's own servers, which no longer have it."""
    host = urlsplit(settings.hubspot_base_url).hostname
    return settings.hubspot_api == LeadsV1.name and host == HUBSPOTS_OWN_HOST


def probe(settings: Settings, token: Token, clock: Clock) -> Probe:
    """Ask HubSpot for something harmless. Never raises."""
    try:
        value = token.value()
    except TokenUnavailableError as error:
        return Probe(error.cause)
    answer = _ask(settings, value)
    outcome = judged(answer, clock())
    if outcome.status == 404:
        outcome = no_such_api(outcome)
    return Probe(None if outcome.kind == "done" else outcome.cause, _clock_ahead(answer, clock))


def _ask(settings: Settings, value: str) -> Answer | NoAnswer:
    caller = Caller(settings.hubspot_base_url, seconds=PROBE_SECONDS)
    if settings.hubspot_api == LeadsV1.name:
        path = f"/leads/v1/list?{urlencode({'max': 1, 'access_token': value})}"
        return caller.request("GET", path, headers={}, secret=value)
    path = properties_path(settings.hubspot_api_version)
    return caller.request("GET", path, headers={"Authorization": f"Bearer {value}"}, secret=value)


def _clock_ahead(answer: Answer | NoAnswer, clock: Clock) -> float | None:
    if isinstance(answer, NoAnswer):
        return None
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return None
    return clock() / MICROS_PER_SECOND - theirs
