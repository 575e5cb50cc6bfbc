"""Today's HubSpot: leads are contacts, written in batches of up to 100.

`POST {base}/crm/objects/{version}/contacts/batch/...` (or `/crm/v3/objects/contacts/batch/...`), says
https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23). Which row an answer
means is told by the trace id that each row carries, or its contact id; never by its position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from integration.clock import Clock, now
from integration.hubspot.http import Answer, Http
from integration.hubspot.outcomes import ambiguous, classify, not_found, nothing_written, unreadable
from integration.hubspot.refusals import judge_refusal, judge_row
from integration.hubspot.tokens import Token, TokenUnavailableError, after_expiry
from integration.lead.properties import ARCHIVE_FIELD, STAGE_PROPERTY, PropertyTable
from integration.records import Bundle, Cause, Outcome

MAX_BATCH = 100  # https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23)
_HAS_ADDITIONAL = "hs_additional_emails"
_OPERATIONS = {"update": "update", "upsert": "upsert", "archive": "archive", "read": "read", "find": "read"}


def contacts_path(version: str) -> str:
    """Where contacts are: `v3`, or a dated version as `2026-09`."""
    return "/crm/v3/objects/contacts" if version == "v3" else f"/crm/objects/{version}/contacts"


@dataclass(frozen=True, slots=True)
class _Row:
    """A bundle in a request, under the trace id that it has there."""

    bundle: Bundle
    properties: Mapping[str, str]

    @property
    def trace_id(self) -> str:
        return self.bundle.lead_id

    @property
    def contact_id(self) -> str:
        return self.bundle.identifiers.get("contact_id", "")


class Contacts:
    """The contacts API as a destination. One HTTP request for all bundles of a call."""

    name = "contacts"
    id_kind = "contact_id"
    can_create = True
    max_batch = MAX_BATCH

    def __init__(
        self, http: Http, token: Token, table: PropertyTable, *, version: str, clock: Clock = now
    ) -> None:
        self._http = http
        self._token = token
        self._table = table
        self._path = contacts_path(version)
        self._clock = clock
        self.finds_by = frozenset({"email", *table.unique})

    def request_kind(self, bundle: Bundle) -> str:
        """`find email`, `read`, `update`, `upsert`, `archive`, or `stage`, which may move one back."""
        if bundle.finds:
            return f"find {bundle.finds[0].kind}"
        if bundle.reads:
            return "read"
        if bundle.fields.get(ARCHIVE_FIELD) is True:
            return "archive"
        if bundle.creates:
            return "upsert"
        return "stage" if bundle.fields.get(STAGE_PROPERTY) else "update"

    def is_search(self, request_kind: str) -> bool:  # noqa: ARG002 - the protocol's
        """Batch reads are none: contacts are looked up by unique properties."""
        return False

    def cost(self, request_kind: str) -> int:
        """Two where a mapping sets the lifecycle stage itself: it is cleared first, else one."""
        return 2 if request_kind == "stage" else 1

    def send(self, bundles: Sequence[Bundle]) -> list[Outcome]:
        """Send bundles of one kind together: one outcome each. Never raises for what HubSpot does."""
        settled: dict[int, Outcome] = {}
        rows: dict[int, _Row] = {}
        for position, bundle in enumerate(bundles):
            if outcome := self._not_sent(bundle, rows.values()):
                settled[position] = outcome
            else:
                rows[position] = _Row(bundle, self._table.properties(bundle.fields))
        if rows:
            outcomes = self._send_rows(self.request_kind(bundles[0]), list(rows.values()))
            settled.update(zip(rows, outcomes, strict=True))
        return [settled[position] for position in range(len(bundles))]

    def _not_sent(self, bundle: Bundle, rows: Any) -> Outcome | None:
        """How a bundle ends that cannot be in this request."""
        refused = {
            name: cause
            for name, value in bundle.fields.items()
            if (cause := self._table.refusal(name, value))
        }
        if refused:
            return Outcome("again", cause=next(iter(refused.values())), refused_fields=refused)
        contact_id = bundle.identifiers.get("contact_id")
        if contact_id and not bundle.finds and any(row.contact_id == contact_id for row in rows):
            detail = "another lead with the same contact id is in this request"
            return Outcome("again", cause=Cause("same_contact_twice", detail, "nothing to do: it goes next"))
        return None

    def _send_rows(self, kind: str, rows: Sequence[_Row]) -> list[Outcome]:
        try:
            token = self._token.value()
        except TokenUnavailableError as error:
            return [Outcome("stop", cause=error.cause)] * len(rows)
        kind, _, found_by = kind.partition(" ")
        if kind == "stage":
            # A stage moves backwards only if it was cleared before:
            # https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide (2026-11-23)
            cleared = [_Row(row.bundle, {STAGE_PROPERTY: ""}) for row in rows]
            before = self._sent("update", "", cleared, token)
            if any(outcome.kind != "done" for outcome in before):
                return before
            kind = "update"
        return self._sent(kind, found_by, rows, token)

    def _sent(self, kind: str, found_by: str, rows: Sequence[_Row], token: str) -> list[Outcome]:
        answer = self._http.request(
            "POST",
            f"{self._path}/batch/{_OPERATIONS[kind]}",
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            secret=token,
            body=json.dumps(self._body(kind, found_by, rows)).encode(),
        )
        whole = classify(answer.status, answer.headers, answer.excerpt, self._clock())
        if answer.status in (400, 409, 422):
            return judge_refusal(answer, whole, [(row.bundle, row.properties) for row in rows], self._table)
        if whole.kind != "done":
            return [after_expiry(whole, answer, self._token, token)] * len(rows)
        if kind == "archive":
            return [whole] * len(rows)
        return self._judged(kind, found_by, rows, answer, whole)

    # what is asked

    def _body(self, kind: str, found_by: str, rows: Sequence[_Row]) -> dict[str, Any]:
        if kind == "find":
            property_name = self._unique_property(found_by)
            values = dict.fromkeys(
                known.value for row in rows for known in row.bundle.finds if known.kind == found_by
            )
            wanted = [property_name, _HAS_ADDITIONAL] if found_by == "email" else [property_name]
            return {
                "idProperty": property_name,
                "properties": wanted,
                "inputs": [{"id": value} for value in values],
            }
        if kind == "read":
            reads = {name for row in rows for name in row.bundle.reads}
            properties = sorted({target for name in reads if (target := self._table.property_of(name))})
            return {"properties": properties, "inputs": [{"id": row.contact_id} for row in rows]}
        if kind == "archive":
            return {"inputs": [{"id": row.contact_id} for row in rows]}
        return {"inputs": [_input(kind, row) for row in rows]}

    def _unique_property(self, kind: str) -> str:
        return self._table.unique.get(kind, kind)

    # what is answered

    def _judged(
        self, kind: str, found_by: str, rows: Sequence[_Row], answer: Answer, whole: Outcome
    ) -> list[Outcome]:
        """The outcome of each row by the body of a 2xx: 200 and 207 say the same there, sometimes nothing."""
        content = answer.content
        if not isinstance(content, dict):
            return [nothing_written(answer.status)] * len(rows)
        results = [item for item in content.get("results") or [] if isinstance(item, dict)]
        errors = [item for item in content.get("errors") or [] if isinstance(item, dict)]
        if kind == "find":
            return [self._found(row, found_by, results, whole) for row in rows]
        outcomes = []
        for row in rows:
            if (result := _result_of(row, results)) is not None:
                outcomes.append(self._done(row, result, whole))
            elif (error := _error_of(row, errors)) is not None:
                outcomes.append(judge_row(error, row.bundle, self._table, answer, self._clock()))
            else:
                outcomes.append(nothing_written(answer.status))
        return outcomes

    def _done(self, row: _Row, result: Mapping[str, Any], whole: Outcome) -> Outcome:
        properties = result.get("properties")
        if not isinstance(properties, dict):
            return unreadable(whole) if row.bundle.reads else nothing_written(whole.status)
        values = {
            name: self._table.value(name, properties.get(self._table.property_of(name) or ""))
            for name in row.bundle.reads
        }
        found = {"contact_id": str(result["id"])} if row.bundle.creates and result.get("id") else {}
        return replace(whole, values=values, found=found)

    def _found(
        self, row: _Row, found_by: str, results: Sequence[Mapping[str, Any]], whole: Outcome
    ) -> Outcome:
        wanted = {known.value.casefold() for known in row.bundle.finds if known.kind == found_by}
        ids = sorted(
            {
                str(result["id"])
                for result in results
                if result.get("id") and wanted & _values_of(result, self._unique_property(found_by))
            }
        )
        if not ids:
            return not_found(f"HubSpot has no contact with this {found_by}")
        return replace(whole, found={"contact_id": ids[0]}) if len(ids) == 1 else ambiguous("contact_id", ids)


def _input(kind: str, row: _Row) -> dict[str, Any]:
    if kind == "upsert":
        email = row.bundle.identifiers["email"]
        properties = {"email": email, **row.properties}
        return {
            "id": email, "idProperty": "email", "properties": properties, "objectWriteTraceId": row.trace_id,
        }  # fmt: skip
    return {"id": row.contact_id, "properties": row.properties, "objectWriteTraceId": row.trace_id}


def _result_of(row: _Row, results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The result with the row's trace id, contact id, or email."""
    email = row.bundle.identifiers.get("email", "").casefold() if row.bundle.creates else ""
    for result in results:
        if result.get("objectWriteTraceId") is not None:
            if result["objectWriteTraceId"] == row.trace_id:
                return result
        elif (row.contact_id and str(result.get("id")) == row.contact_id) or (
            email and email in _values_of(result, "email")
        ):
            return result
    return None


def _error_of(row: _Row, errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The error whose context names the row: by trace id, contact id or email."""
    names = {row.trace_id, row.contact_id, row.bundle.identifiers.get("email", "")} - {""}
    for error in errors:
        context = error.get("context")
        said = (
            {str(value) for values in context.values() for value in _as_list(values)}
            if isinstance(context, dict)
            else set()
        )
        said |= {str(error[key]) for key in ("id", "objectWriteTraceId") if error.get(key)}
        if names & said:
            return error
    return None


def _values_of(result: Mapping[str, Any], property_name: str) -> set[str]:
    """What a contact has in a unique property, without regard to case; an email also among its other ones."""
    properties = result.get("properties")
    if not isinstance(properties, dict):
        return set()
    texts = [str(properties.get(property_name) or "")]
    if property_name == "email":
        texts += str(properties.get(_HAS_ADDITIONAL) or "").split(";")
    return {text.casefold() for text in texts if text}


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
