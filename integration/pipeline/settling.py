"""Settling: what the outcome of an attempt makes of a lead and of all deliveries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from integration.core.patience import DELIVERY_PAUSE, LEAD_NOT_FOUND, LEAD_RETRY
from integration.core.values import MICROS_PER_SECOND, Cause, Micros, Outcome
from integration.lead.merge import confirm, from_json, learn, pending, to_json, unread
from integration.pipeline.addressing import refusal, sendable, with_refusals
from integration.store.attempts import Attempt
from integration.store.budget import Pause
from integration.store.lead_rows import LeadRow

FIRST_RETRY_SECONDS = LEAD_RETRY.first
NOT_FOUND_FIRST_RETRY_SECONDS = LEAD_NOT_FOUND.first


def settled_row(row: LeadRow, attempt: Attempt, now: Micros, jitter: float) -> LeadRow:
    """The lead after an attempt: clean, due later, or dead. `jitter` is a random number from 0 to 1.

    `row` is as it is now: changes that came while the request was on its way are in it, and stay unsent.
    """
    outcome = attempt.outcome
    if outcome.kind == "done":
        known = learn(from_json(row.document), outcome.values)
        since = now if attempt.bundle.fields else row.waiting_since
        return at_rest_or_due(
            replace(row, document=to_json(confirm(known, attempt.bundle.fields))), now, since
        )
    if outcome.refused_fields:
        row = with_refusals(row, attempt.bundle.fields, outcome.refused_fields)
        return at_rest_or_due(row, now)
    if outcome.kind == "not_found" and attempt.bundle.finds and attempt.bundle.creates:
        return _to_be_created(row, now)
    failing_since = row.failing_since or now
    outcome = _after_patience(outcome, now - failing_since)
    if outcome.kind == "set_aside":
        return replace(
            row,
            state="dead",
            due_at=None,
            waiting_since=None,
            failing_since=failing_since,
            cause=outcome.cause,
        )
    if pauses_all(outcome):
        return replace(row, state="due", due_at=now)  # no fault of this lead: it keeps its place
    first = NOT_FOUND_FIRST_RETRY_SECONDS if outcome.kind == "not_found" else FIRST_RETRY_SECONDS
    delay = retry_delay(row.attempts, outcome.retry_after, jitter, first)
    return replace(
        row, state="due", due_at=now + delay, attempts=row.attempts + 1, failing_since=failing_since,
        cause=outcome.cause,
    )  # fmt: skip


def at_rest_or_due(row: LeadRow, now: Micros, since: Micros | None = None) -> LeadRow:
    """The lead after it got through to HubSpot: due again if more is unsent (since `since`), dead if HubSpot
    refuses the rest, else clean.
    """
    state = from_json(row.document)
    if sendable(row, state) or unread(state):
        return replace(clean(row), state="due", due_at=now, waiting_since=since or now)
    cause = refusal(row)
    if cause is None:
        return replace(clean(row), refused="{}" if not pending(state) else row.refused)
    return replace(clean(row), state="dead", failing_since=now, cause=cause)


def looked_up_again(row: LeadRow, now: Micros) -> LeadRow:
    """The lead once HubSpot no longer knows it by what HubSpot itself had said: looked up anew, at once."""
    return replace(row, state="due", due_at=now, attempts=0, failing_since=None, cause=None)


def _after_patience(outcome: Outcome, failing_for: Micros) -> Outcome:
    """The outcome; set aside if it has been tried for long enough."""
    if outcome.kind == "not_found" and LEAD_NOT_FOUND.gives_up(0, failing_for):
        return replace(outcome, kind="set_aside")
    if outcome.kind == "again" and LEAD_RETRY.gives_up(0, failing_for):
        return replace(outcome, kind="set_aside", cause=_gave_up(outcome))
    return outcome


def _to_be_created(row: LeadRow, now: Micros) -> LeadRow:
    """A lead that HubSpot does not have and may create: all that had to be read is known to be blank."""
    state = from_json(row.document)
    state = learn(state, dict.fromkeys(unread(state)))
    return replace(clean(row), document=to_json(state), state="due", due_at=now, waiting_since=now)


def pauses_all(outcome: Outcome) -> bool:
    """Whether this says that no request can work now, whichever lead it is for."""
    return outcome.kind == "stop" or outcome.status == 429


def next_pause(pauses: int, outcome: Outcome, now: Micros) -> Pause:
    """The pause that follows `pauses` pauses in a row."""
    seconds = outcome.retry_after
    if seconds is None:
        seconds = DELIVERY_PAUSE.seconds(pauses)
    detail = outcome.cause.detail if outcome.cause else ""
    return Pause(now + int(seconds * MICROS_PER_SECOND), pauses + 1, detail)


def ended(pause: Pause, done: Sequence[Attempt]) -> bool:
    """Whether an attempt that began after the pause was over shows that deliveries work again.

    One that was on its way when the pause began shows nothing.
    """
    return any(attempt.outcome.kind == "done" and attempt.started_at >= pause.until for attempt in done)


def retry_delay(
    attempts_before: int, retry_after: float | None, jitter: float, first: float = FIRST_RETRY_SECONDS
) -> Micros:
    """Exponential with full jitter on the upper half, never sooner than HubSpot asks for."""
    return replace(LEAD_RETRY, first=first).micros(attempts_before, retry_after=retry_after, chance=jitter)


def clean(row: LeadRow) -> LeadRow:
    """The lead with nothing to send and no trouble."""
    return replace(
        row, state="clean", due_at=None, waiting_since=None, attempts=0, failing_since=None, cause=None
    )  # fmt: skip


def _gave_up(outcome: Outcome) -> Cause:
    last = outcome.cause.detail if outcome.cause else "no answer"
    return Cause(
        "gave_up",
        f"HubSpot could not be reached for this lead in {LEAD_RETRY.give_up_days} days. Last: {last}",
        "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
    )
