"""HubSpot's token: one that stands still, or one that OAuth renews."""

from __future__ import annotations

from integration.core.values import Cause, Outcome
from integration.http.client import Answer
from integration.http.oauth import Token, TokenUnavailableError

_EXPIRED = "EXPIRED_AUTHENTICATION"


class StaticToken:
    """A token that does not change: that of a private app, a service key, or a test."""

    def __init__(self, value: str) -> None:
        self._value = value

    def value(self) -> str:
        """The token; raises TokenUnavailableError if it is empty."""
        if not self._value:
            cure = "set HUBSPOT_ACCESS_TOKEN; delivery then resumes"
            raise TokenUnavailableError(Cause("token_missing", "HUBSPOT_ACCESS_TOKEN is not set", cure))
        return self._value

    def expired(self, value: str) -> bool:  # noqa: ARG002 - the protocol's
        """Never: nobody renews it."""
        return False


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
