"""OAuth 2.0, what all have in common: a refresh token becomes an access token (RFC 6749, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from integration.errors import LeadwireError
from integration.records import Cause


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a refresh needs: the client's id and secret, and the refresh token."""

    client_id: str
    client_secret: str
    refresh_token: str

    def __repr__(self) -> str:
        """Without the secrets."""
        return "Credentials(...)"


@dataclass(frozen=True, slots=True)
class Grant:
    """A new access token and for how many seconds it is good; and the refresh token for the next one."""

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


def refresh_form(credentials: Credentials) -> Mapping[str, str]:
    """The fields of the request for a new access token, without the client's own."""
    return {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}


def granted(content: Any, credentials: Credentials) -> Grant | None:
    """The grant in a decoded answer; None if there is no access token in it that a header can carry."""
    token = content.get("access_token") if isinstance(content, dict) else None
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        return None
    seconds, given_back = content.get("expires_in"), content.get("refresh_token")
    return Grant(
        token,
        seconds if isinstance(seconds, int) and seconds > 0 else 0,
        given_back if isinstance(given_back, str) and given_back else credentials.refresh_token,
    )
