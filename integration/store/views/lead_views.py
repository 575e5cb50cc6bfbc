"""Leads as people look them up: pages, one lead by whatever it is known by, and each field's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from integration.core.values import Micros
from integration.core.words import name_of, told_value
from integration.lead.merge import AtHubSpot, FieldState, Unknown
from integration.lead.record import Record, RecordState
from integration.store.budget import current_pause
from integration.store.identifiers import find_by_identifiers, identifiers_of
from integration.store.records import find
from integration.store.tables import in_state, leads
from integration.store.views.attempt_views import ATTEMPTS, AttemptLine, last_attempts
from integration.store.views.columns import Column, Facts, Fit, Kind, Page, Rows, View, facts_of
from integration.store.views.event_views import cause_as_json
from integration.store.views.waiting import Strand, WaitsFor, strands_of, waits_for

ATTEMPTS_SHOWN = 10
_KINDS_TO_TRY = ("guid", "contact_id", "email")


@dataclass(frozen=True, slots=True)
class KnownLead:
    """A lead with its identifiers by kind. `waits_for` is None where it waits for nothing."""

    record: Record
    identifiers: Mapping[str, str]
    waits_for: WaitsFor | None = None


@dataclass(frozen=True, slots=True)
class LeadDetails:
    """One lead whole. `attempts` has the newest first."""

    lead: KnownLead
    updated_at: Micros
    attempts: tuple[AttemptLine, ...]


@dataclass(frozen=True, slots=True)
class NamedField:
    """A field of a lead."""

    name: str
    state: FieldState


def told_at_hubspot(value: AtHubSpot) -> str:
    """What HubSpot has, as far as is known, for people."""
    return "not known" if isinstance(value, Unknown) else told_value(value)


def at_hubspot_as_json(value: AtHubSpot) -> dict[str, Any]:
    """What HubSpot has, for programs; without a key where that is not known."""
    return {} if isinstance(value, Unknown) else {"hubspot_has": value}


def _waits(lead: KnownLead) -> str:
    if lead.waits_for is None:
        return ""
    code = f" ({lead.record.cause.code})" if lead.record.cause else ""
    return f"{lead.waits_for.words}{code}"


_STATE: Column[KnownLead] = Column(
    "state", "state", lambda lead: lead.record.state, kind=Kind.STATE, fit=Fit.ROW
)
_UNSENT: Column[KnownLead] = Column(
    "unsent",
    "unsent",
    lambda lead: lead.record.unsent,
    lambda lead: ", ".join(lead.record.unsent),
)
_WAITS: Column[KnownLead] = Column(
    "waits_for", "waits", lambda lead: lead.waits_for.value if lead.waits_for else None, _waits
)
_FAILING: Column[KnownLead] = Column(
    "failing_since", "failing since", lambda lead: lead.record.failing_since, kind=Kind.TIME
)
_CAUSE: Column[KnownLead] = Column(
    "cause", "cause",
    lambda lead: cause_as_json(lead.record.cause),
    lambda lead: lead.record.cause.detail if lead.record.cause else "",
)  # fmt: skip

_CURE: Column[KnownLead] = Column(
    "", "cure", lambda lead: lead.record.cause.cure if lead.record.cause else None
)

LEADS: View[KnownLead] = View(
    "leads",
    (
        Column("id", "id", lambda lead: lead.record.id, fit=Fit.HIDE),
        Column(
            "identifiers", "lead", lambda lead: dict(lead.identifiers),
            lambda lead: name_of(lead.identifiers) or lead.record.id, fit=Fit.ROW,
        ),
        _STATE,
        Column(
            "waiting_since", "waiting since", lambda lead: lead.record.waiting_since,
            kind=Kind.TIME, fit=Fit.ROW,
        ),
        _UNSENT,
        _WAITS,
        replace(_FAILING, heading=""),
        _CAUSE,
        Column("account", "", lambda lead: lead.record.account),
    ),
)  # fmt: skip


def _field_as_json(field: FieldState) -> dict[str, Any]:
    content = FIELDS.as_json(NamedField("", field))
    del content["field"]
    return {**content, **at_hubspot_as_json(field.sent)}


FIELDS: View[NamedField] = View(
    "fields",
    (
        Column("field", "field", lambda field: field.name, fit=Fit.ROW),
        Column(
            "value", "value", lambda field: field.state.value, lambda field: told_value(field.state.value)
        ),
        Column("", "HubSpot has", lambda field: told_at_hubspot(field.state.sent)),
        Column("write", "write", lambda field: field.state.write),
        Column(
            "occurred_at", "happened",
            lambda field: field.state.clock[0] if field.state.clock else None, kind=Kind.TIME,
        ),
        Column("event", "event", lambda field: field.state.event_id or None),
        Column("place", "mapping", lambda field: field.state.place or None),
        Column("mapping_version", "version", lambda field: field.state.mapping_version or None, fit=Fit.HIDE),
    ),
)  # fmt: skip


def _lead(details: LeadDetails) -> KnownLead:
    return details.lead


LEAD: View[LeadDetails] = View(
    "lead",
    (
        *View("lead", (_STATE, _WAITS, _UNSENT)).of(_lead),
        Column("due_at", "due", lambda details: details.lead.record.due_at, kind=Kind.TIME),
        _FAILING.of(_lead),
        Column(
            "failed_attempts", "failed attempts", lambda details: details.lead.record.attempts,
            lambda details: str(details.lead.record.attempts or ""),
        ),
        _CAUSE.of(_lead),
        _CURE.of(_lead),
        Column("updated_at", "updated", lambda details: details.updated_at, kind=Kind.TIME),
        Column(
            "fields", "",
            lambda details: {
                name: _field_as_json(field) for name, field in sorted(details.lead.record.fields.items())
            },
        ),
        Column("attempts", "", lambda details: [ATTEMPTS.as_json(attempt) for attempt in details.attempts]),
    ),
)  # fmt: skip


def lead_page(details: LeadDetails) -> Page:
    """The page of a lead."""
    lead = details.lead
    known: View[LeadDetails] = View("lead", (*_identifier_columns(lead), *LEAD.columns))
    fields = [NamedField(name, field) for name, field in sorted(lead.record.fields.items())]
    return Page(
        (
            Facts(f"Lead {lead.record.id}", known, details),
            Rows("Fields", FIELDS, fields),
            Rows(f"Last attempts (at most {ATTEMPTS_SHOWN})", ATTEMPTS, details.attempts, "None yet."),
        ),
        {**LEADS.as_json(lead), **LEAD.as_json(details)},
    )


def list_leads(
    connection: Connection,
    account: str,
    *,
    now: Micros,
    limit: int,
    before: str | None = None,
    state: RecordState | None = None,
    cause: str | None = None,
    what: WaitsFor | None = None,
) -> list[KnownLead]:
    """The account's newest leads of these that are older than the id `before`. Paused or not is as of `now`.

    By the primary key; where they are due or dead, by `leads_due_by_cause` and `leads_dead_of_account`, a
    step into them for each cause; those on their way, which are few, by `leads_leased`.
    """
    paused = current_pause(connection, account).until > now
    if cause is None and what is None and state in {None, RecordState.CLEAN, RecordState.LEASED}:
        mine = [leads.c.account == account, *([in_state(leads, state)] if state else [])]
        ids = _newest(connection, mine, (leads.c.id.desc(),), limit, before)
    else:
        strands = strands_of(connection, account, state=state, cause=cause, what=what, paused=paused)
        ids = [
            id
            for strand in strands
            for id in _newest(connection, _conditions(account, strand), _IN_STRAND, limit, before)
        ]
    return _known(connection, sorted(ids, reverse=True)[:limit], paused=paused)


def find_lead_id(connection: Connection, account: str, known_by: str) -> str | None:
    """The id of the account's lead with this id, guid, contact id or email, or an identifier as `kind=value`.

    All by primary keys. An email is also found in small letters, as mappings usually store it.
    """
    kind, separator, value = known_by.partition("=")
    keys = [(kind, value), (kind, value.lower())] if separator else []
    keys += [(kind, known_by) for kind in _KINDS_TO_TRY] + [("email", known_by.lower())]
    mine = select(leads.c.id).where(leads.c.account == account)
    by_id = connection.execute(mine.where(leads.c.id == known_by)).scalar()
    if by_id is not None:
        return str(by_id)
    found = find_by_identifiers(connection, account, keys)
    return next((found[key] for key in keys if key in found), None)


def find_lead(connection: Connection, account: str, known_by: str, now: Micros) -> KnownLead | None:
    """The lead that `find_lead_id` finds, as in a listing."""
    id = find_lead_id(connection, account, known_by)
    found = _known(connection, [id], paused=current_pause(connection, account).until > now) if id else []
    return found[0] if found else None


def lead_details(
    connection: Connection, account: str, lead_id: str, *, now: Micros, attempts_shown: int = ATTEMPTS_SHOWN
) -> LeadDetails | None:
    """The account's lead with this id; None if it has none. By the primary key and `attempts_by_lead`."""
    found = _known(connection, [lead_id], paused=current_pause(connection, account).until > now)
    if not found or found[0].record.account != account:
        return None
    updated_at = connection.execute(select(leads.c.updated_at).where(leads.c.id == lead_id)).scalar_one()
    return LeadDetails(found[0], updated_at, last_attempts(connection, lead_id, attempts_shown))


def _identifier_columns(lead: KnownLead) -> tuple[Column[LeadDetails], ...]:
    return facts_of("", lead.identifiers).view.of(lambda details: details.lead.identifiers)


def _conditions(account: str, strand: Strand) -> list[ColumnElement[bool]]:
    state, cause = strand
    of_cause = leads.c.cause.is_(None) if cause is None else leads.c.cause == cause
    return [in_state(leads, state), leads.c.account == account, of_cause]


# By the cause too, which is one: PostgreSQL does not see that where it is null.
_IN_STRAND = (leads.c.cause.desc(), leads.c.id.desc())


def _newest(
    connection: Connection,
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    limit: int,
    before: str | None,
) -> list[str]:
    older = [leads.c.id < before] if before is not None else []
    query = select(leads.c.id).where(*conditions, *older).order_by(*order).limit(limit)
    return list(connection.execute(query).scalars())


def _known(connection: Connection, ids: Sequence[str], *, paused: bool) -> list[KnownLead]:
    records, known = find(connection, ids), identifiers_of(connection, ids)
    return [_known_lead(records[id], known[id], paused=paused) for id in ids if id in records]


def _known_lead(record: Record, known: Mapping[str, str], *, paused: bool) -> KnownLead:
    cause = record.cause.code if record.cause else None
    return KnownLead(record, known, waits_for(record.state, cause, paused=paused))
