"""Addressing: what the next request for a lead is. Pure.

A lead that HubSpot's API cannot be asked for yet is looked up first; one with a field that fills only what
is blank is read first; then its unsent changes go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from integration.core.values import MICROS_PER_SECOND, Bundle, Cause, Identifier, Micros, Wire
from integration.lead.merge import LeadState, from_json, pending, same, unread
from integration.store.identifiers import Link
from integration.store.lead_rows import LeadRow

# What HubSpot said of a lead is asked again after a week: contacts are merged, and emails change hands.
FOUND_FOR: Micros = 7 * 24 * 3600 * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Reach:
    """How a HubSpot API knows leads: see `integration.hubspot.Destination`."""

    id_kind: str
    finds_by: frozenset[str]
    can_create: bool


def next_request(row: LeadRow, links: Sequence[Link], reach: Reach, now: Micros) -> Bundle | Cause | None:
    """The lead's next request; None if there is nothing to send; the cause if it cannot be addressed yet."""
    state = from_json(row.document)
    fields, reads = sendable(row, state), unread(state)
    if not fields and not reads:
        return None
    identifiers = {link.kind: link.value for link in links if not _is_stale(link, now)}
    event_ids = sorted({state[name].event_id for name in fields})
    if reach.id_kind in identifiers:
        return Bundle(row.id, identifiers, {} if reads else fields, event_ids, reads)
    if _may_create(row, identifiers, reach) and not reads:
        return Bundle(row.id, identifiers, fields, event_ids, creates=True)
    finds = [Identifier(link.kind, link.value) for link in links if link.kind in reach.finds_by]
    if not finds:
        return _unresolved(links, reach)
    # One request asks by one kind: what it does not find is looked for by the next one at the next attempt.
    turn = row.attempts % len(finds)
    creates = _may_create(row, identifiers, reach)
    return Bundle(row.id, identifiers, {}, event_ids, finds=finds[turn:] + finds[:turn], creates=creates)


def sendable(row: LeadRow, state: LeadState) -> dict[str, Wire | None]:
    """The fields that HubSpot lacks and has not refused with this value."""
    refused = refused_values(row)
    return {
        name: value
        for name, value in pending(state).items()
        if name not in refused or not same(refused[name], value)
    }


def refused_values(row: LeadRow) -> dict[str, Wire | None]:
    """The fields that HubSpot does not take, with the values that it refused."""
    return {name: refusal["value"] for name, refusal in json.loads(row.refused).items()}


def with_refusals(row: LeadRow, sent: Mapping[str, Wire | None], causes: Mapping[str, Cause]) -> LeadRow:
    """The lead once HubSpot refused these fields of what was sent."""
    refused = json.loads(row.refused)
    for name, cause in causes.items():
        refused[name] = {
            "value": sent.get(name), "code": cause.code, "detail": cause.detail, "cure": cause.cure,
        }  # fmt: skip
    return replace(row, refused=json.dumps(refused, ensure_ascii=False))


def refusal(row: LeadRow) -> Cause | None:
    """Why some of the lead's unsent fields are not sent; None if none is held back."""
    state = from_json(row.document)
    unsent = pending(state)
    held = [
        (name, said)
        for name, said in sorted(json.loads(row.refused).items())
        if name in unsent and same(said["value"], unsent[name])
    ]
    if not held:
        return None
    detail = "; ".join(f"{name} ({state[name].place}): {said['detail']}" for name, said in held)
    cures = dict.fromkeys(said["cure"] for _, said in held)
    return Cause("field_refused", f"{detail}. The other fields were sent", "; ".join(cures))


def _is_stale(link: Link, now: Micros) -> bool:
    return link.found_at is not None and now - link.found_at > FOUND_FOR


def _may_create(row: LeadRow, identifiers: Mapping[str, str], reach: Reach) -> bool:
    return row.creates and reach.can_create and "email" in identifiers


def _unresolved(links: Sequence[Link], reach: Reach) -> Cause:
    kinds = ", ".join(dict.fromkeys(link.kind for link in links)) or "nothing"
    wanted = " or ".join(sorted({reach.id_kind, *reach.finds_by}))
    return Cause(
        "unresolved",
        f"the lead is known by {kinds} only, and HubSpot needs its {wanted}",
        f"it goes by itself once an event tells its {wanted} as well; or `leadwire leads link KIND=VALUE` it",
    )
