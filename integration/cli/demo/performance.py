"""The demo's steps performed on the running system, each held to what it must do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from integration.authoring.rehearse import Rehearsal, rehearse
from integration.cli.demo.machinery import System
from integration.cli.demo.story import Delivery, Outcome, Step
from integration.cli.payloads import request_from_file, usable_source
from integration.config.folders import folder_of
from integration.config.sources import Configuration
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import Cause, RawRequest, Secret
from integration.lead.merge import FieldStates, confirm, pending
from integration.store.views.event_views import find_event
from integration.store.views.request_views import list_rejected

_EXPECTED_ANSWERS: Mapping[Outcome, tuple[int, str]] = {
    "update": (200, "accepted"),
    "dead": (200, "accepted"),
    "ignored": (200, "accepted"),
    "duplicate": (200, "duplicate"),
    "refused": (401, "not_verified"),
}
_JSON = {"Content-Type": "application/json"}
_EXPECTED_STATES: Mapping[Outcome, str] = {
    "update": "translated",
    "duplicate": "translated",
    "dead": "dead",
    "ignored": "ignored",
    "refused": "rejected",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web process said to a delivery: HTTP status, the word for programs, and the request's id."""

    status: int
    word: str
    id: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request that HubSpot's stand-in got: the lead's guid, the fields, and the status it answered."""

    guid: str
    fields: Mapping[str, Any]
    status: int | None


@dataclass(frozen=True, slots=True)
class Performed:
    """A step and what came of it. `why` says why nothing was sent; `failures` what is not as it must be."""

    step: Step
    types: tuple[str, ...]
    answers: tuple[Answer, ...]
    arrived: tuple[Arrived, ...]
    why: str
    failures: tuple[str, ...]


class Performer:
    """Performs steps one after the other and keeps the books: what each lead must have by now."""

    def __init__(
        self, system: System, configuration: Configuration, settings: Settings, live: Mapping[str, Secret]
    ) -> None:
        self._system = system
        self._configuration = configuration
        self._settings = settings
        self._live = live
        self._books: dict[str, FieldStates] = {}

    def seed(self, leads: Mapping[str, Mapping[str, str]]) -> None:
        """Put leads in place at HubSpot's stand-in."""
        for guid, fields in leads.items():
            url = f"{self._system.hubspot_url}/_sandbox/leads/{guid}"
            answer = self._system.ask("PUT", url, headers=_JSON, body=json.dumps(fields).encode())
            if not answer.is_success:
                raise self._system.failure(f"{url} answered {answer.status}")

    def perform(self, step: Step) -> Performed:
        """Send what the step says, wait until all is delivered, and compare."""
        signed = [self._signed(delivery) for delivery in step.deliveries]
        before = len(self._requests())
        answers = self._send(signed)
        self._system.settle()
        arrived = tuple(_arrived(entry) for entry in self._requests()[before:])
        states, why = self._stored(step, answers)
        expected = self._enter(step.deliveries, signed) if step.outcome == "update" else ()
        failures = (
            *_answer_failures(step.outcome, answers),
            *_state_failures(step.outcome, states),
            *_arrival_failures(expected, arrived),
        )
        types = tuple(self._rehearse(item, {}).events[0].translation.type or "?" for item in signed)
        return Performed(step, types, answers, arrived, why, failures)

    def _send(self, signed: Sequence[RawRequest]) -> tuple[Answer, ...]:
        with ThreadPoolExecutor(len(signed)) as threads:
            return tuple(threads.map(self._post, signed))

    def _post(self, request: RawRequest) -> Answer:
        answer = self._system.ask("POST", request.url, headers=dict(request.headers), body=request.body)
        told = answer.content
        return Answer(answer.status, str(told.get("code", told["status"])), str(told.get("id", "")))

    def _signed(self, delivery: Delivery) -> RawRequest:
        source = usable_source(self._configuration, delivery.source)
        file = folder_of(delivery.source, self._settings.mappings_dir) / "examples" / delivery.example
        url = f"{self._system.web_url}/hooks/{delivery.source}"
        recorded = request_from_file(source, file, {}, url)
        request = replace(recorded, body=json.dumps(delivery.payload(json.loads(recorded.body))).encode())
        live = self._live[delivery.source]
        secret = replace(live, value=f"{live.value}-not") if delivery.forged else live
        return source.scheme.sign(request, secret, now())

    def _rehearse(self, request: RawRequest, lead: FieldStates) -> Rehearsal:
        source = usable_source(self._configuration, request.source)
        limit = self._settings.max_body_bytes
        return rehearse(self._configuration, source, request, max_body_bytes=limit, lead=lead)

    def _enter(
        self, deliveries: Sequence[Delivery], signed: Sequence[RawRequest]
    ) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """Enter an update into the books; returns what HubSpot must get, as guid and fields."""
        for delivery, request in zip(deliveries, signed, strict=True):
            for lead in self._rehearse(request, self._books.get(delivery.guid, {})).leads:
                self._books[delivery.guid] = lead.state
        expected = []
        for guid in dict.fromkeys(delivery.guid for delivery in deliveries):
            fields = pending(self._books.get(guid, {}))
            self._books[guid] = confirm(self._books.get(guid, {}), fields)
            expected.append((guid, {name: "" if value is None else value for name, value in fields.items()}))
        return tuple(expected)

    def _requests(self) -> list[dict[str, Any]]:
        url = f"{self._system.hubspot_url}/_sandbox/requests"
        found: list[dict[str, Any]] = self._system.ask("GET", url).content
        return found

    def _stored(self, step: Step, answers: Sequence[Answer]) -> tuple[list[str], str]:
        """The states in which the deliveries ended, and why the last one changed nothing."""
        with self._system.store.read() as connection:
            if step.outcome == "refused":
                (newest,) = list_rejected(connection, limit=1, source=step.deliveries[0].source) or (None,)
                return ["rejected"] if newest else [], newest.detail if newest else ""
            events = [find_event(connection, f"{answer.id}-0") for answer in answers]
        states = [event.line.state if event else "missing" for event in events]
        cause = events[-1].line.cause if events[-1] else None
        return states, _in_words(cause) if cause else ""


def _in_words(cause: Cause) -> str:
    return f"{cause.detail}; cure: {cause.cure}" if cause.cure else cause.detail


def _arrived(entry: Mapping[str, Any]) -> Arrived:
    body = dict(entry["body"]) if isinstance(entry["body"], dict) else {"body": entry["body"]}
    return Arrived(str(body.pop("guid", "")), body, entry["status"])


def _answer_failures(outcome: Outcome, answers: Sequence[Answer]) -> Iterator[str]:
    status, word = _EXPECTED_ANSWERS[outcome]
    for answer in answers:
        if (answer.status, answer.word) != (status, word):
            yield f"the answer was {answer.status} {answer.word}, not {status} {word}"


def _state_failures(outcome: Outcome, states: Sequence[str]) -> Iterator[str]:
    expected = _EXPECTED_STATES[outcome]
    for state in states or ["nowhere to be found"]:
        if state != expected:
            yield f"the event is {state}, not {expected}"


def _arrival_failures(
    expected: Sequence[tuple[str, Mapping[str, Any]]], arrived: Sequence[Arrived]
) -> Iterator[str]:
    """What HubSpot did not get, and what it should not have got."""
    got = [(item.guid, item.fields) for item in arrived if item.status == 200]
    for guid, fields in expected:
        if (guid, fields) not in got:
            yield f"HubSpot did not get {json.dumps(fields)} for the lead {guid}"
    for item in arrived:
        if (item.guid, item.fields) not in expected or item.status != 200:
            yield f"HubSpot got {json.dumps(dict(item.fields))} for {item.guid} and answered {item.status}"
    if any(not fields for _, fields in expected):
        yield "nothing was to be sent, although this step is there to show an update"
