"""OAuth 2.0, what all have in common: a refresh token or the client alone gets an access token (RFC 6749)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from integration.core.errors import LeadwireError
from integration.core.values import Cause

UNTOLD_SECONDS = 1800  # RFC 6749 lets a vendor leave `expires_in` out; a 401 ends a token that dies sooner
LONGEST_SECONDS = 24 * 3600


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
    `client_credentials` there is no refresh token, and tokens are asked for `scope`.
    """

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str = ""
    grant: str = ""
    scope: str = ""
    prefix: str = "Bearer"
    client_auth: str = "basic"

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it needs."""
        return tuple(name for name in (self.client_id, self.client_secret, self.refresh_token) if name)

    @property
    def grant_setting(self) -> str:
        """The setting that the API's trust hangs on."""
        return self.refresh_token or self.client_id


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


def grant_form(credentials: Credentials) -> Mapping[str, str]:
    """The fields of the request for a new access token, without the client's own."""
    if credentials.refresh_token:
        return {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}
    scope = {"scope": credentials.scope} if credentials.scope else {}
    return {"grant_type": "client_credentials", **scope}


def granted(content: Any, credentials: Credentials) -> Grant | None:
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
