"""Settling: what the outcome of an attempt makes of a lead and of all deliveries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from integration.lead.merge import LeadState, confirm, from_json, learn, pending, to_json, unread
from integration.records import MICROS_PER_SECOND, Bundle, Cause, Micros, Outcome
from integration.store.attempts import Attempt
from integration.store.budget import Pause
from integration.store.leads import LeadRow

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 3600.0
# Leads are often created after the payment: one that is not there yet is looked for for a day.
NOT_FOUND_FIRST_RETRY_SECONDS = 60.0
NOT_FOUND_GIVE_UP_SECONDS = 24 * 3600
GIVE_UP_SECONDS = 3 * 24 * 3600
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0


def bundle_of(row: LeadRow, identifiers: dict[str, str]) -> Bundle:
    """All that HubSpot does not have yet of this lead; or what must be read from HubSpot to know that."""
    state = from_json(row.document)
    fields = pending(state)
    event_ids = sorted({state[name].event_id for name in fields})
    if reads := unread(state):
        return Bundle(row.id, identifiers, {}, event_ids, reads)
    return Bundle(row.id, identifiers, fields, event_ids)


def settled_row(row: LeadRow, attempt: Attempt, now: Micros, jitter: float) -> LeadRow:
    """The lead after an attempt: clean, due later, or dead. `jitter` is a random number from 0 to 1.

    `row` is as it is now: changes that came while the request was on its way are in it, and stay unsent.
    """
    outcome = attempt.outcome
    if outcome.kind == "done":
        known = learn(from_json(row.document), outcome.values)
        return _delivered(row, confirm(known, attempt.bundle.fields), now)
    failing_since = row.failing_since or now
    not_found = outcome.kind == "not_found"
    patience = NOT_FOUND_GIVE_UP_SECONDS if not_found else GIVE_UP_SECONDS
    given_up = now - failing_since > patience * MICROS_PER_SECOND
    if outcome.kind == "again" and given_up:
        outcome = replace(outcome, kind="set_aside", cause=_gave_up(outcome))
    if outcome.kind == "set_aside" or (not_found and given_up):
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
    first = NOT_FOUND_FIRST_RETRY_SECONDS if not_found else FIRST_RETRY_SECONDS
    delay = retry_delay(row.attempts, outcome.retry_after, jitter, first)
    return replace(
        row, state="due", due_at=now + delay, attempts=row.attempts + 1, failing_since=failing_since,
        cause=outcome.cause,
    )  # fmt: skip


def pauses_all(outcome: Outcome) -> bool:
    """Whether this says that no request can work now, whichever lead it is for."""
    return outcome.kind == "stop" or outcome.status == 429


def next_pause(pauses: int, outcome: Outcome, now: Micros) -> Pause:
    """The pause that follows `pauses` pauses in a row."""
    seconds = outcome.retry_after
    if seconds is None:
        seconds = min(FIRST_PAUSE_SECONDS * 2**pauses, LONGEST_PAUSE_SECONDS)
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
    longest = min(first * 2.0 ** min(attempts_before, 30), LONGEST_RETRY_SECONDS)
    seconds = max(longest * (0.5 + jitter / 2), retry_after or 0.0)
    return int(seconds * MICROS_PER_SECOND)


def _delivered(row: LeadRow, state: LeadState, now: Micros) -> LeadRow:
    settled = clean(replace(row, document=to_json(state)))
    if not pending(state):
        return settled
    return replace(settled, state="due", due_at=now, waiting_since=now)


def clean(row: LeadRow) -> LeadRow:
    """The lead with nothing to send and no trouble."""
    return replace(
        row, state="clean", due_at=None, waiting_since=None, attempts=0, failing_since=None, cause=None
    )  # fmt: skip


def _gave_up(outcome: Outcome) -> Cause:
    last = outcome.cause.detail if outcome.cause else "no answer"
    return Cause(
        "gave_up",
        f"HubSpot could not be reached for this lead in {GIVE_UP_SECONDS // 86400} days. Last: {last}",
        "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
    )
