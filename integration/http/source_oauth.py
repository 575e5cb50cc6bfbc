"""Access tokens of sources' APIs: a bounded POST to the address that a mapping names."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode, urlsplit

from integration.core.values import Cause
from integration.http.bounded import (
    Answer,
    Bounds,
    RefusedAddressError,
    TooLargeError,
    UnreachableError,
    post,
)
from integration.http.oauth import Credentials, Grant, OAuth, TokenUnavailableError, grant_form, granted

# The second is Zoho's own word (2026-11-24):
# https://help.zoho.com/portal/en/community/topic/oauth-grant-type-refresh-token-error-invalid-code
_GRANT_ENDED = ("invalid_grant", "invalid_code")

_RARE = "nothing to do while it is rare: it is tried again; else correct `token_url` in the mapping"
_WRONG_ADDRESS = "correct `token_url` in the mapping; for a stand-in in a test, set FETCH_ALLOW_PRIVATE"


def refresh(spec: OAuth, credentials: Credentials, bounds: Bounds) -> Grant:
    """A new access token. Raises TokenUnavailableError, whose cause names settings, and never shows a secret.

    Refresh tokens rotate at many vendors. If this process dies between the answer and the commit that keeps
    the new one, the next worker asks with the old one again, which such vendors allow for a while (Xero for
    30 minutes: https://developer.xero.com/faq/oauth2, 2026-11-24).
    """
    form = {**grant_form(credentials), **_client_in_form(spec, credentials)}
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        **_client_in_header(spec, credentials),
    }
    try:
        answer = post(spec.token_url, headers, urlencode(form).encode(), bounds)
    except RefusedAddressError as error:
        raise _unavailable(spec, str(error), _WRONG_ADDRESS) from error
    except (UnreachableError, TooLargeError, ValueError) as error:
        raise _unavailable(spec, str(error)) from error
    grant = granted(_decoded(answer), credentials) if 200 <= answer.status < 300 else None
    if grant is None:
        raise _refused(spec, answer)
    return grant


def _client_in_form(spec: OAuth, credentials: Credentials) -> Mapping[str, str]:
    if spec.client_auth != "body":
        return {}
    return {"client_id": credentials.client_id, "client_secret": credentials.client_secret}


def _client_in_header(spec: OAuth, credentials: Credentials) -> Mapping[str, str]:
    """Both parts are form-encoded first: RFC 6749, section 2.3.1."""
    if spec.client_auth == "body":
        return {}
    login = f"{quote_plus(credentials.client_id)}:{quote_plus(credentials.client_secret)}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _decoded(answer: Answer) -> object:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _refused(spec: OAuth, answer: Answer) -> TokenUnavailableError:
    """What the answer means; its `error` is one of the words of RFC 6749, section 5.2, and safe to tell."""
    content = _decoded(answer)
    word = content.get("error") if isinstance(content, dict) else None
    host = urlsplit(spec.token_url).hostname
    if word in _GRANT_ENDED and spec.refresh_token:
        detail = f"{host} says that the grant in {spec.refresh_token} is not good any more"
        cure = f"connect the app once more and set {spec.refresh_token} anew"
        return TokenUnavailableError(Cause("grant_revoked", detail, cure))
    if word in ("invalid_client", "unauthorized_client"):
        detail = f"{host} does not know the client in {spec.client_id} and {spec.client_secret}"
        cure = f"set {spec.client_id} and {spec.client_secret} to those of the app"
        return TokenUnavailableError(Cause("token_unavailable", detail, cure))
    return _unavailable(spec, f"it answered {answer.status}, and no access token")


def _unavailable(spec: OAuth, why: str, cure: str = _RARE) -> TokenUnavailableError:
    detail = f"no access token could be fetched from {urlsplit(spec.token_url).hostname}: {why}"
    return TokenUnavailableError(Cause("token_unavailable", detail, cure))
