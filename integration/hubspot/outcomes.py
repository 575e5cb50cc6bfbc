"""How one attempt ended: the only place that judges HubSpot's answers.

| answer | outcome |
|---|---|
| any 2xx | done |
| 401, 403 | stop: the token is refused, so nothing can be delivered |
| 404 | not_found `lead_not_found`; again `api_not_there` where it cannot mean a lead |
| 408, 425, 423, 429, 477, 5xx | again, not before Retry-After |
| any other | set_aside `refused_by_hubspot`: the same request would be refused again |
| none (network) | again `hubspot_unreachable` |

The Leads API's page promises 200 for success; other 2xx say the same in HTTP, and an update that HubSpot
took must neither be sent again nor wait for a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from integration.core.backoff import read_retry_after
from integration.core.errors import shorten
from integration.core.values import Cause, Micros, Outcome
from integration.http.client import Answer, NoAnswer, Why

# 423 is a lock of 2 seconds, 477 an account on the move (up to 24 h, with Retry-After), says
# https://developers.hubspot.com/docs/api-reference/error-handling (2026-11-23).
_LOCKED = 423
_LOCK_SECONDS = 2.0
_INTERVAL_SECONDS = 10.0
_DAILY_LIMIT_SECONDS = 3600.0  # then asked again: one request an hour finds out when the day is over
# What the messages of a 429 say (2026-11-23): "You have reached your daily limit.", "... ten_secondly_rolling
# limit." and, of a search, "... secondly limit."
_POLICY_SECONDS = (
    ("daily limit", _DAILY_LIMIT_SECONDS),
    ("ten_secondly", _INTERVAL_SECONDS),
    ("secondly limit", 1.0),
)
_AGAIN = frozenset({408, 425, _LOCKED, 429, 477})


def judged(answer: Answer | NoAnswer, at: Micros) -> Outcome:
    """The outcome of an attempt that ended at `at`."""
    if isinstance(answer, NoAnswer):
        return Outcome("again", cause=_unreachable(answer))
    return classify(answer.status, answer.headers, answer.excerpt, at)


def classify(status: int, headers: Mapping[str, str], detail: str, at: Micros) -> Outcome:
    """The outcome of an attempt that ended at `at` with this status.

    `headers` have lower-case names. `detail` is what the body says, in words and without secrets.
    """
    if 200 <= status < 300:
        return Outcome("done", status, used_up_for=used_up_for(headers))
    said = f"HubSpot answered {status}" + (f": {detail}" if detail else "")
    if status in (401, 403):
        return Outcome("stop", status, _token_refused(said))
    if status == 404:
        return Outcome("not_found", status, _lead_not_found(said))
    if status in _AGAIN or status >= 500:
        return Outcome("again", status, _busy(status, said), _wait(status, headers, at, said))
    return Outcome("set_aside", status, _refused(said))


def not_found(detail: str, code: str = "unresolved") -> Outcome:
    """The outcome where HubSpot answered, and has no such lead."""
    cure = "create the lead in HubSpot, or let the source send another identifier; it is looked for for a day"
    return Outcome("not_found", 200, Cause(code, detail, cure))


def ambiguous(kind: str, values: Sequence[str]) -> Outcome:
    """The outcome where HubSpot has several leads that could be meant: a person chooses, never a guess."""
    listed = ", ".join(shorten(value) for value in values)
    detail = f"HubSpot has several leads with this identifier: {kind} {listed}"
    cure = f"`leadwire leads link {kind}=VALUE LEAD` with the right one, or merge them in HubSpot; then retry"
    return Outcome("set_aside", 200, Cause("ambiguous_lead", detail, cure))


def no_such_api(outcome: Outcome) -> Outcome:
    """The outcome where a 404 means the address, and no lead: the API is not there."""
    cure = (
        "check HUBSPOT_BASE_URL, HUBSPOT_API and HUBSPOT_API_VERSION (`leadwire doctor`); it is tried again"
    )
    detail = "HubSpot answered 404: this API is not there, or not in this version"
    return Outcome("again", outcome.status, Cause("api_not_there", detail, cure))


def nothing_written(status: int | None) -> Outcome:
    """The outcome where HubSpot answered with success, and does not say that it wrote this lead."""
    detail = f"HubSpot answered {status} and did not say that this lead was written"
    return Outcome(
        "again", status, Cause("nothing_written", detail, "nothing to do while it is rare: it is tried again")
    )


def unreadable(outcome: Outcome) -> Outcome:
    """The outcome where HubSpot answered with success and something that is not what was asked for."""
    cure = "nothing to do while it is rare: it is tried again"
    detail = "what HubSpot sent of the lead cannot be read"
    return Outcome("again", outcome.status, Cause("unreadable_answer", detail, cure))


def used_up_for(headers: Mapping[str, str]) -> float | None:
    """How many seconds no request should be made, if HubSpot's headers say that none is left.

    The headers are those of https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
    (2026-11-23); the day ends at midnight in the account's time zone, which they do not tell.
    """
    if headers.get("x-hubspot-ratelimit-daily-remaining") == "0":
        return _DAILY_LIMIT_SECONDS
    if headers.get("x-hubspot-ratelimit-remaining") != "0":
        return None
    interval = headers.get("x-hubspot-ratelimit-interval-milliseconds", "")
    return int(interval) / 1000 if re.fullmatch(r"[0-9]{1,7}", interval) else _INTERVAL_SECONDS


def _wait(status: int, headers: Mapping[str, str], at: Micros, said: str) -> float | None:
    asked = read_retry_after(headers.get("retry-after"), at)
    if status == 429 and asked is None:
        by_policy = (seconds for words, seconds in _POLICY_SECONDS if words in said.lower())
        return next(by_policy, used_up_for(headers))
    return max(asked or 0.0, _LOCK_SECONDS) if status == _LOCKED else asked


def _unreachable(failure: NoAnswer) -> Cause:
    detail = "HUBSPOT_BASE_URL is not an address" if failure.why is Why.NO_ADDRESS else failure.words
    cure = "nothing to do while it is rare: it is tried again; else check HUBSPOT_BASE_URL and the network"
    return Cause("hubspot_unreachable", f"no answer from HubSpot: {detail}", cure)


def _token_refused(said: str) -> Cause:
    cure = "set HUBSPOT_ACCESS_TOKEN to a token that is valid and may write leads; delivery then resumes"
    return Cause("token_refused", f"{said}. The token is refused.", cure)


def _lead_not_found(said: str) -> Cause:
    cure = "create the lead in HubSpot or correct the guid at the source, then retry"
    return Cause("lead_not_found", f"{said}. There is no such lead.", cure)


def _busy(status: int, said: str) -> Cause:
    if status == 429:
        cure = "nothing to do while it is rare: it is tried again; else lower HUBSPOT_RATE_LIMIT"
        return Cause("rate_limited", said, cure)
    return Cause("hubspot_error", said, "nothing to do: it is tried again; see https://status.hubspot.com")


def _refused(said: str) -> Cause:
    cure = "correct the mapping or the lead in HubSpot by what the answer says, then retry"
    return Cause("refused_by_hubspot", said, cure)
