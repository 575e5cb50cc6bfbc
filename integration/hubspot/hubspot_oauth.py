"""OAuth at HubSpot: a refresh token becomes an access token.

`POST /oauth/2026-03/token` with all parameters in the body; v1 of it is switched off on 2027-02-16, says
https://developers.hubspot.com/changelog/v1-oauth-api-deprecation (2026-11-23).
"""

from __future__ import annotations

from urllib.parse import urlencode

from integration.core.values import Cause
from integration.http.client import Answer, Http
from integration.http.oauth import Credentials, Grant, TokenUnavailableError, grant_form, granted

_PATH = "/oauth/2026-03/token"
_REVOKED = ("invalid_grant", "BAD_REFRESH_TOKEN")


def refresh(http: Http, credentials: Credentials) -> Grant:
    """A new access token. Raises TokenUnavailableError, whose cause says why there is none and what to do."""
    body = {
        **grant_form(credentials),
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = http.request(
        "POST", _PATH, headers=headers, secret=credentials.client_secret, body=urlencode(body).encode()
    )
    content = answer.content if answer.status is not None and 200 <= answer.status < 300 else None
    grant = granted(content, credentials)
    if grant is None:
        raise TokenUnavailableError(_why(answer))
    return grant


def _why(answer: Answer) -> Cause:
    if any(word in answer.text for word in _REVOKED):
        cure = "install the app in HubSpot again and set HUBSPOT_REFRESH_TOKEN anew; delivery then resumes"
        return Cause("grant_revoked", "HubSpot says that the OAuth grant is revoked", cure)
    said = f"HubSpot answered {answer.status}" if answer.status is not None else answer.text
    cure = (
        "nothing to do while it is rare: it is tried again; else check HUBSPOT_CLIENT_ID, "
        "HUBSPOT_CLIENT_SECRET and HUBSPOT_REFRESH_TOKEN"
    )
    return Cause("token_unavailable", f"no OAuth access token could be fetched: {said}", cure)
