"""HubSpot's tokens: where OAuth gets one, and what HubSpot says of one that is expired."""

from __future__ import annotations

from integration.core.values import Cause, Outcome
from integration.http.client import Answer
from integration.http.oauth import OAuth, Token

# All parameters in the body; v1 of it is switched off on 2027-02-16, says
# https://developers.hubspot.com/changelog/v1-oauth-api-deprecation (2026-11-23).
_OAUTH_PATH = "/oauth/2026-03/token"
_EXPIRED = "EXPIRED_AUTHENTICATION"


def oauth_at(base_url: str) -> OAuth:
    """Where HubSpot at this address gives access tokens."""
    return OAuth(
        f"{base_url.rstrip('/')}{_OAUTH_PATH}",
        "HUBSPOT_CLIENT_ID",
        "HUBSPOT_CLIENT_SECRET",
        "HUBSPOT_REFRESH_TOKEN",
        client_auth="body",
        corrected_by="HUBSPOT_BASE_URL",
    )


def renewed(answer: Answer, token: Token, used: str) -> bool:
    """Whether HubSpot says that the token of this request is expired, and another one can be had."""
    return answer.status == 401 and _EXPIRED in answer.text and token.expired(used)


def after_expiry(outcome: Outcome, answer: Answer, token: Token, used: str) -> Outcome:
    """The outcome; tried again with another token if HubSpot says that this one is expired.

    Only this category means that: https://developers.hubspot.com/docs/api-reference/error-handling
    (2026-11-23) warns that another 401 is no sign of it.
    """
    if not renewed(answer, token, used):
        return outcome
    said = outcome.cause.detail if outcome.cause else ""
    return Outcome("again", 401, Cause("token_expired", said, "nothing to do: a new token is fetched"))
