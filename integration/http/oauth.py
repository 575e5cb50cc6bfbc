"""OAuth 2.0 (RFC 6749), one way for all vendors: a refresh token or the client alone gets an access token."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from integration.core.errors import LeadwireError
from integration.core.values import Cause
from integration.http.client import Answer, Bounds, Client, NoAnswer, Why

UNTOLD_SECONDS = 1800  # RFC 6749 lets a vendor leave `expires_in` out; a 401 ends a token that dies sooner
LONGEST_SECONDS = 24 * 3600
BOUNDS = Bounds(seconds=20.0, max_bytes=64 * 1024)
# `invalid_code` is Zoho's own word (2026-11-24):
# https://help.zoho.com/portal/en/community/topic/oauth-grant-type-refresh-token-error-invalid-code
# BAD_REFRESH_TOKEN is the `status` that HubSpot gives beside or instead of the standard's `error`.
_GRANT_ENDED = frozenset({"invalid_grant", "invalid_code", "BAD_REFRESH_TOKEN"})
_CLIENT_UNKNOWN = frozenset({"invalid_client", "unauthorized_client"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an access token is asked for with: the client's id and secret, and the refresh token.

    Without a refresh token the client asks in its own name, for `scope` ("": what it has).
    """

    client_id: str
    client_secret: str
    refresh_token: str
    scope: str = ""

    def __repr__(self) -> str:
        """Without the secrets."""
        return "Credentials(...)"


@dataclass(frozen=True, slots=True)
class OAuth:
    """Where access tokens come from; names of settings, never their values.

    The token goes into the Authorization header behind `prefix`. `client_auth` says where the client's id and
    secret go when a token is asked for: `basic` (the Authorization header) or `body`. With the grant
    `client_credentials` there is no refresh token, and tokens are asked for `scope`. `corrected_by` is where
    a person corrects the address.
    """

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str = ""
    grant: str = ""
    scope: str = ""
    prefix: str = "Bearer"
    client_auth: str = "basic"
    corrected_by: str = "`token_url` in the mapping"

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it needs."""
        return tuple(name for name in (self.client_id, self.client_secret, self.refresh_token) if name)

    @property
    def grant_setting(self) -> str:
        """The setting that the API's trust hangs on."""
        return self.refresh_token or self.client_id

    @property
    def host(self) -> str:
        """The host that gives tokens."""
        return urlsplit(self.token_url).hostname or "the token's address"


@dataclass(frozen=True, slots=True)
class Grant:
    """A new access token and for how many seconds it is good; and the refresh token for the next one.

    The latter is "" for a client that asks in its own name.
    """

    access_token: str
    expires_in: int
    refresh_token: str

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Grant(expires_in={self.expires_in})"


class TokenUnavailableError(LeadwireError):
    """There is no token to send; `cause` says why, and what to do."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.detail)
        self.cause = cause


class Token(Protocol):
    """Where requests get their token from. Safe to use from several threads at once."""

    def value(self) -> str:
        """The token; raises TokenUnavailableError if there is none that could work."""

    def expired(self, value: str) -> bool:
        """Who was given this token says that it is expired. True if another one can be had."""


class StaticToken:
    """A token that does not change: that of a private app, a service key, or a test."""

    def __init__(self, value: str, setting: str = "HUBSPOT_ACCESS_TOKEN") -> None:
        self._value = value
        self._setting = setting

    def value(self) -> str:
        """The token; raises TokenUnavailableError if it is empty."""
        if not self._value:
            cure = f"set {self._setting}; delivery then resumes"
            raise TokenUnavailableError(Cause("token_missing", f"{self._setting} is not set", cure))
        return self._value

    def expired(self, value: str) -> bool:  # noqa: ARG002 - the protocol's
        """Never: nobody renews it."""
        return False


def refresh(client: Client, spec: OAuth, credentials: Credentials) -> Grant:
    """A new access token. Raises TokenUnavailableError, whose cause names settings, and never shows a secret.

    Refresh tokens rotate at many vendors. If this process dies between the answer and the commit that keeps
    the new one, the next worker asks with the old one again, which such vendors allow for a while (Xero for
    30 minutes: https://developer.xero.com/faq/oauth2, 2026-11-24).
    """
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        **_client_in_header(spec, credentials),
    }
    form = {**_grant_form(credentials), **_client_in_form(spec, credentials)}
    answer = client.request("POST", spec.token_url, BOUNDS, headers=headers, body=urlencode(form).encode())
    if isinstance(answer, NoAnswer):
        raise _not_had(spec, answer)
    grant = _granted(answer.content, credentials) if answer.is_success else None
    if grant is None:
        raise _refused(spec, answer)
    return grant


def _grant_form(credentials: Credentials) -> Mapping[str, str]:
    if credentials.refresh_token:
        return {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}
    scope = {"scope": credentials.scope} if credentials.scope else {}
    return {"grant_type": "client_credentials", **scope}


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


def _granted(content: Any, credentials: Credentials) -> Grant | None:
    """The grant in a decoded answer; None if there is no access token in it that a header can carry."""
    token = content.get("access_token") if isinstance(content, dict) else None
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        return None
    given_back = content.get("refresh_token")
    is_next = credentials.refresh_token and isinstance(given_back, str) and given_back
    return Grant(
        token, _lifetime(content.get("expires_in")), given_back if is_next else credentials.refresh_token
    )


def _lifetime(told: object) -> int:
    """Seconds; some vendors write them as text."""
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) < 10:
        told = int(told)
    if isinstance(told, bool) or not isinstance(told, int) or told <= 0:
        return UNTOLD_SECONDS
    return min(told, LONGEST_SECONDS)


def _refused(spec: OAuth, answer: Answer) -> TokenUnavailableError:
    """What the answer means; only words that are known are told of it, so that no secret is."""
    words = _words(answer.content)
    if words & _GRANT_ENDED and spec.refresh_token:
        detail = f"{spec.host} says that the grant in {spec.refresh_token} is not good any more"
        cure = f"connect the app again and set {spec.refresh_token} to the new refresh token"
        return TokenUnavailableError(Cause("grant_revoked", detail, cure))
    if words & _CLIENT_UNKNOWN:
        detail = f"{spec.host} does not know the client in {spec.client_id} and {spec.client_secret}"
        cure = f"set {spec.client_id} and {spec.client_secret} to those of the app"
        return TokenUnavailableError(Cause("token_unavailable", detail, cure))
    return _unavailable(spec, f"it answered {answer.status}, and no access token", _rare(spec))


def _words(content: Any) -> set[str]:
    """What names the error: `error` (RFC 6749, section 5.2), and HubSpot's `status`."""
    found = [content.get(key) for key in ("error", "status")] if isinstance(content, dict) else []
    return {word for word in found if isinstance(word, str)}


def _not_had(spec: OAuth, failure: NoAnswer) -> TokenUnavailableError:
    if failure.why is Why.ADDRESS_REFUSED:
        cure = f"correct {spec.corrected_by}; for a stand-in in a test, set FETCH_ALLOW_PRIVATE"
        return _unavailable(spec, failure.words, cure)
    return _unavailable(spec, failure.words, _rare(spec))


def _rare(spec: OAuth) -> str:
    checked = ", ".join(spec.settings)
    return f"nothing to do while it is rare: it is tried again; else check {checked} and {spec.corrected_by}"


def _unavailable(spec: OAuth, why: str, cure: str) -> TokenUnavailableError:
    detail = f"no access token could be fetched from {spec.host}: {why}"
    return TokenUnavailableError(Cause("token_unavailable", detail, cure))
