"""Today's HubSpot: leads are contacts, written in batches of up to 100.

`POST {base}/crm/objects/{version}/contacts/batch/...` (or `/crm/v3/objects/contacts/batch/...`), says
https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23). Which row an answer
means is told by the trace id that each row carries, or its contact id; never by its position.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from integration.core.clock import Clock, now
from integration.core.values import Cause, Create, Find, Operation, Outcome, Read, Write, fields_of
from integration.http.client import Answer, NoAnswer
from integration.http.oauth import Token, TokenUnavailableError
from integration.hubspot.caller import Caller
from integration.hubspot.content import context_of, objects
from integration.hubspot.family import Family, Verb
from integration.hubspot.hubspot_token import after_expiry
from integration.hubspot.outcomes import (
    ambiguous,
    judged,
    no_such_api,
    not_found,
    nothing_written,
    unreadable,
)
from integration.hubspot.refusals import NOT_FOUND, judge_refusal, judge_row
from integration.lead.properties import ARCHIVE_FIELD, STAGE_PROPERTY, PropertyTable

MAX_BATCH = 100  # https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23)
_HAS_ADDITIONAL = "hs_additional_emails"
_HAS_MERGED = "hs_merged_object_ids"  # the ids of contacts that were merged into this one
_BATCH = {  # the last part of the address
    Verb.FIND: "read",
    Verb.READ: "read",
    Verb.WRITE: "update",
    Verb.MOVE: "update",
    Verb.CREATE: "upsert",
    Verb.ARCHIVE: "archive",
}
_READ = Family(Verb.READ)
_WRITE = Family(Verb.WRITE)
_CREATE = Family(Verb.CREATE)
_ARCHIVE = Family(Verb.ARCHIVE)
_MOVE = Family(Verb.MOVE, cost=3)  # see `_moved`


def contacts_path(version: str) -> str:
    """Where contacts are: `v3`, or a dated version as `2026-09`."""
    return "/crm/v3/objects/contacts" if version == "v3" else f"/crm/objects/{version}/contacts"


@dataclass(frozen=True, slots=True)
class _Row:
    """An operation in a call, and what tells its contact there; "" where it has no such identifier."""

    operation: Operation
    properties: Mapping[str, str]
    contact_id: str
    email: str

    @property
    def trace_id(self) -> str:
        return self.operation.record_id

    @property
    def created_as(self) -> str:
        """The email of the contact that is written, if it need not be there yet."""
        return self.email.casefold() if isinstance(self.operation, Create) else ""

    @property
    def written_to(self) -> str:
        """What tells the contact that is written; "" for an operation that looks one up."""
        return self.contact_id or self.created_as


def _row(operation: Operation, properties: Mapping[str, str]) -> _Row:
    known = {} if isinstance(operation, Find) else operation.identifiers
    return _Row(operation, properties, known.get("contact_id", ""), known.get("email", ""))


@dataclass(frozen=True, slots=True)
class _Said:
    """What the body of a 2xx says: of which rows it holds a result, of which an error."""

    answer: Answer
    whole: Outcome
    results: Sequence[Mapping[str, Any]]
    errors: Sequence[dict[str, Any]]


class Contacts:
    """The contacts API as a destination. One HTTP request for all operations of a call."""

    name = "contacts"
    id_kind = "contact_id"
    can_create = True
    max_batch = MAX_BATCH
    most_cost = _MOVE.cost

    def __init__(
        self,
        caller: Caller,
        token: Token,
        table: Callable[[], PropertyTable],
        *,
        version: str,
        clock: Clock = now,
    ) -> None:
        self._caller = caller
        self._token = token
        self._live_table = table
        self._path = contacts_path(version)
        self._clock = clock

    @property
    def _table(self) -> PropertyTable:
        return self._live_table()

    @property
    def finds_by(self) -> frozenset[str]:
        """The email, and the kinds that have a unique property of their own now."""
        return frozenset({"email", *self._table.unique})

    def family(self, operation: Operation) -> Family:
        """Finds are batch reads too, and no searches: contacts are looked up by unique properties."""
        match operation:
            case Find(sought=sought):
                return Family(Verb.FIND, found_by=sought[0].kind)
            case Read():
                return _READ
            case Write(fields=fields) | Create(fields=fields) if fields.get(ARCHIVE_FIELD) is True:
                return _ARCHIVE
            case Create():
                return _CREATE
            case Write(fields=fields):
                return _MOVE if fields.get(STAGE_PROPERTY) else _WRITE

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Send operations of one family together: one outcome each. Never raises for what HubSpot does."""
        settled: dict[int, Outcome] = {}
        rows: dict[int, _Row] = {}
        for position, operation in enumerate(operations):
            row = _row(operation, self._table.properties(fields_of(operation)))
            if outcome := self._not_sent(row, rows.values()):
                settled[position] = outcome
            else:
                rows[position] = row
        if rows:
            outcomes = self._send_rows(self.family(operations[0]), list(rows.values()))
            settled.update(zip(rows, outcomes, strict=True))
        return [settled[position] for position in range(len(operations))]

    def _not_sent(self, row: _Row, others: Iterable[_Row]) -> Outcome | None:
        """How an operation ends that cannot be in this call."""
        refused = {
            name: cause
            for name, value in fields_of(row.operation).items()
            if (cause := self._table.refusal(name, value))
        }
        if refused:
            return Outcome("again", cause=next(iter(refused.values())), refused_fields=refused)
        contact = row.written_to
        if contact and any(other.written_to == contact for other in others):
            detail = "another lead with the same contact is in this request"
            return Outcome("again", cause=Cause("same_contact_twice", detail, "nothing to do: it goes next"))
        return None

    def _send_rows(self, family: Family, rows: Sequence[_Row]) -> list[Outcome]:
        try:
            token = self._token.value()
        except TokenUnavailableError as error:
            return [Outcome("stop", cause=error.cause)] * len(rows)
        if family.verb is Verb.MOVE:
            return self._moved(rows, token)
        return self._sent(family, rows, token)

    def _moved(self, rows: Sequence[_Row], token: str) -> list[Outcome]:
        """Write the rows, then clear the stage of those that HubSpot took, then set it again.

        A stage moves backwards only if it was cleared before:
        https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23). It is written
        before as well: a stage that HubSpot does not know is then refused while the contact has its own.
        """
        written = self._sent(_MOVE, rows, token)
        cleared = [replace(row, properties={STAGE_PROPERTY: ""}) for row in rows]
        moved = [replace(row, properties={STAGE_PROPERTY: row.properties[STAGE_PROPERTY]}) for row in rows]
        for step in (cleared, moved):
            written = self._sent_where_done(written, step, token)
        return written

    def _sent_where_done(self, before: Sequence[Outcome], rows: Sequence[_Row], token: str) -> list[Outcome]:
        """Update the rows whose step before was done: the outcomes of both steps together."""
        ready = [row for row, outcome in zip(rows, before, strict=True) if outcome.kind == "done"]
        outcomes = iter(self._sent(_MOVE, ready, token) if ready else ())
        return [next(outcomes) if outcome.kind == "done" else outcome for outcome in before]

    def _sent(self, family: Family, rows: Sequence[_Row], token: str) -> list[Outcome]:
        answer = self._caller.request(
            "POST",
            f"{self._path}/batch/{_BATCH[family.verb]}",
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            secret=token,
            body=json.dumps(self._body(family, rows)).encode(),
        )
        whole = judged(answer, self._clock())
        if isinstance(answer, NoAnswer):
            return [whole] * len(rows)
        if answer.status in (400, 409, 422):
            return judge_refusal(
                answer, whole, [(row.operation, row.properties) for row in rows], self._table
            )
        if answer.status == 404:
            return _judge_missing(answer, whole, rows)
        if whole.kind != "done":
            return [after_expiry(whole, answer, self._token, token)] * len(rows)
        if family.verb is Verb.ARCHIVE:
            return [whole] * len(rows)
        return self._judged(family, rows, answer, whole)

    # what is asked

    def _body(self, family: Family, rows: Sequence[_Row]) -> dict[str, Any]:
        match family.verb:
            case Verb.FIND:
                return self._find_body(family.found_by, [row.operation for row in rows])
            case Verb.READ:
                return self._read_body(rows)
            case Verb.ARCHIVE:
                return {"inputs": [{"id": row.contact_id} for row in rows]}
            case Verb.CREATE:
                return {"inputs": [_upsert_input(row) for row in rows]}
            case Verb.WRITE | Verb.MOVE:
                return {"inputs": [_update_input(row) for row in rows]}

    def _find_body(self, found_by: str, finds: Sequence[Operation]) -> dict[str, Any]:
        property_name = self._unique_property(found_by)
        values = dict.fromkeys(value for find in finds for value in _sought(find, found_by))
        return {
            "idProperty": property_name,
            "properties": [property_name, _HAS_ADDITIONAL] if found_by == "email" else [property_name],
            "inputs": [{"id": value} for value in values],
        }

    def _read_body(self, rows: Sequence[_Row]) -> dict[str, Any]:
        names = {name for row in rows for name in _names_read(row.operation)}
        properties = {target for name in names if (target := self._table.property_of(name))}
        return {
            "properties": sorted({*properties, _HAS_MERGED}),
            "inputs": [{"id": row.contact_id} for row in rows],
        }

    def _unique_property(self, kind: str) -> str:
        return self._table.unique.get(kind, kind)

    # what is answered

    def _judged(self, family: Family, rows: Sequence[_Row], answer: Answer, whole: Outcome) -> list[Outcome]:
        """The outcome of each row by the body of a 2xx: 200 and 207 say the same there, sometimes nothing."""
        content = answer.content
        if not isinstance(content, dict) or not isinstance(content.get("results"), list):
            asked = family.verb in (Verb.FIND, Verb.READ)
            of_each = unreadable(whole) if asked else nothing_written(answer.status)
            return [of_each] * len(rows)
        said = _Said(answer, whole, objects(content, "results"), objects(content, "errors"))
        if family.verb is Verb.FIND:
            return [self._found(row, family.found_by, said) for row in rows]
        return [self._written(row, said) for row in rows]

    def _written(self, row: _Row, said: _Said) -> Outcome:
        if (result := _result_of(row, said.results)) is not None:
            return self._done(row, result, said.whole)
        if (error := _error_of(row, said.errors)) is not None:
            return judge_row(error, row.operation, self._table, said.answer, self._clock())
        return nothing_written(said.whole.status)

    def _done(self, row: _Row, result: Mapping[str, Any], whole: Outcome) -> Outcome:
        properties = result.get("properties")
        if not isinstance(properties, dict):
            asked = isinstance(row.operation, Read)
            return unreadable(whole) if asked else nothing_written(whole.status)
        values = {
            name: self._table.value(name, properties.get(self._table.property_of(name) or ""))
            for name in _names_read(row.operation)
        }
        tells_id = isinstance(row.operation, Create) and result.get("id")
        found = {"contact_id": str(result["id"])} if tells_id else {}
        return replace(whole, values=values, found=found)

    def _found(self, row: _Row, found_by: str, said: _Said) -> Outcome:
        values = set(_sought(row.operation, found_by))
        wanted = {value.casefold() for value in values}
        ids = sorted(
            {
                str(result["id"])
                for result in said.results
                if result.get("id") and wanted & _values_of(result, self._unique_property(found_by))
            }
        )
        if len(ids) > 1:
            return ambiguous("contact_id", ids)
        if ids:
            return replace(said.whole, found={"contact_id": ids[0]})
        missing = not_found(f"HubSpot has no contact with this {found_by}")
        return self._failed_to_find(row, values, said) or missing

    def _failed_to_find(self, row: _Row, values: set[str], said: _Said) -> Outcome | None:
        """How a lookup failed; None if all that HubSpot says is that there is no such contact."""
        for error in said.errors:
            named = _named(error)
            if error.get("category") == NOT_FOUND or (named and not named & values):
                continue
            if not named:
                return unreadable(said.whole)
            return judge_row(error, row.operation, self._table, said.answer, self._clock())
        return None


def _judge_missing(answer: Answer, whole: Outcome, rows: Sequence[_Row]) -> list[Outcome]:
    """The outcomes of a 404 for a whole batch: about contacts where it says so, else about the address."""
    error = answer.content
    if not isinstance(error, dict) or error.get("category") != NOT_FOUND:
        return [no_such_api(whole)] * len(rows)
    if len(rows) == 1:
        return [whole]
    split = Outcome("split", answer.status, whole.cause)
    return [whole if _error_of(row, [error]) else split for row in rows]


def _sought(operation: Operation, kind: str) -> list[str]:
    """The values by which a find asks, of one kind of identifier."""
    sought = operation.sought if isinstance(operation, Find) else ()
    return [known.value for known in sought if known.kind == kind]


def _names_read(operation: Operation) -> Sequence[str]:
    return operation.names if isinstance(operation, Read) else ()


def _upsert_input(row: _Row) -> dict[str, Any]:
    return {
        "id": row.email, "idProperty": "email", "properties": {"email": row.email, **row.properties},
        "objectWriteTraceId": row.trace_id,
    }  # fmt: skip


def _update_input(row: _Row) -> dict[str, Any]:
    return {"id": row.contact_id, "properties": row.properties, "objectWriteTraceId": row.trace_id}


def _result_of(row: _Row, results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The result with the row's trace id, contact id (also that of a contact merged into it), or email."""
    email = row.created_as
    for result in results:
        if result.get("objectWriteTraceId") is not None:
            if result["objectWriteTraceId"] == row.trace_id:
                return result
        elif (
            row.contact_id and row.contact_id in {str(result.get("id")), *_values_of(result, _HAS_MERGED)}
        ) or (email and email in _values_of(result, "email")):
            return result
    return None


def _error_of(row: _Row, errors: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The error that names the row: by trace id, contact id or email."""
    names = {row.trace_id, row.contact_id, row.email} - {""}
    return next((error for error in errors if names & _named(error)), None)


def _named(error: dict[str, Any]) -> set[str]:
    """All that an error names: in its context, or beside it."""
    said = {value for values in context_of(error).values() for value in values}
    return said | {str(error[key]) for key in ("id", "objectWriteTraceId") if error.get(key)}


def _values_of(result: Mapping[str, Any], property_name: str) -> set[str]:
    """What a contact has in a property that tells it, without regard to case; an email also among its other
    ones.
    """
    properties = result.get("properties")
    if not isinstance(properties, dict):
        return set()
    if property_name == _HAS_MERGED:
        texts = _parted(properties.get(_HAS_MERGED))
    else:
        texts = [str(properties.get(property_name) or "")]
    if property_name == "email":
        texts += _parted(properties.get(_HAS_ADDITIONAL))
    return {text.casefold() for text in texts if text}


def _parted(value: object) -> list[str]:
    return str(value or "").split(";")
