"""When a lead's bundle is due: the same for changes that came in, were replayed, or were rebuilt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from integration.core.values import MICROS_PER_SECOND, NOT_FOUND_CAUSES, Micros
from integration.lead.merge import LeadState, pending, to_json
from integration.store.lead_rows import LIVE, REPLAYED, LeadRow


@dataclass(frozen=True, slots=True)
class BundleTiming:
    """How long a lead's bundle waits for more changes, in microseconds."""

    window: Micros
    max_wait: Micros

    @classmethod
    def from_seconds(cls, window: float, max_wait: float) -> BundleTiming:
        """From BUNDLE_WINDOW and BUNDLE_MAX_WAIT."""
        return cls(int(window * MICROS_PER_SECOND), int(max(window, max_wait) * MICROS_PER_SECOND))


def changed(row: LeadRow, state: LeadState, timing: BundleTiming, now: Micros) -> LeadRow:
    """The lead with a new state from live events: due when that leaves something unsent.

    A lead that was set aside is due again too: the new change may be the cure, and costs one request to try.
    """
    row = _revived(replace(row, document=to_json(state)))
    if row.state == "leased" or not pending(state):
        return row
    since = now if row.waiting_since is None else row.waiting_since
    due_at = min(now + timing.window, since + timing.max_wait)
    if row.failing_since is not None and row.state == "due":
        due_at = max(due_at, row.due_at or 0)  # a failing lead keeps its pace, whatever comes in
    return replace(row, state="due", waiting_since=since, due_at=due_at, cause=None, priority=LIVE)


def rebuilt(row: LeadRow, state: LeadState, now: Micros) -> LeadRow:
    """The lead with a state that was rebuilt: what that leaves unsent goes after all live changes."""
    row = replace(row, document=to_json(state))
    if row.state == "leased":
        return row
    if not pending(state):
        return replace(row, state="clean", due_at=None, waiting_since=None, failing_since=None, cause=None)
    if row.state == "due":
        return row
    return replace(_revived(row), state="due", waiting_since=now, due_at=now, cause=None, priority=REPLAYED)


def relinked(row: LeadRow, now: Micros) -> LeadRow:
    """The lead once it is known by one more identifier: if it was not found before, it is looked for anew."""
    if row.state == "leased" or row.cause is None or row.cause.code not in NOT_FOUND_CAUSES:
        return row
    row = replace(row, attempts=0, failing_since=None, cause=None)
    return replace(row, state="due", due_at=now, waiting_since=row.waiting_since or now)


def _revived(row: LeadRow) -> LeadRow:
    """A dead lead that gets another chance gets a whole one: its count of failures begins anew."""
    return replace(row, attempts=0, failing_since=None) if row.state == "dead" else row
