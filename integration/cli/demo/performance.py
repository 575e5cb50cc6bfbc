"""The demo's steps performed on the running system, each held to what it must do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import requests

from integration.cli.demo.machinery import REQUEST_SECONDS, System
from integration.cli.demo.story import Delivery, Step
from integration.cli.payloads import PayloadFileError, usable_source
from integration.clock import now
from integration.lead.merge import LeadState, before, confirm
from integration.pipeline.rehearse import rehearse
from integration.pipeline.sources import Configuration
from integration.records import Cause, RawRequest, Secret, Wire
from integration.settings import Settings
from integration.store.listings import find_event, list_rejected

_ANSWERS = {"update": "accepted", "dead": "accepted", "ignored": "accepted", "duplicate": "duplicate"}
_STATES = {"update": "translated", "dead": "dead", "ignored": "ignored", "duplicate": "translated"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web process said to a delivery: HTTP status, and the word and id in its body."""

    status: int
    word: str
    id: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request that HubSpot's stand-in got: the lead's guid, the fields, and the status of its answer."""

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


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A delivery as the request that its source would send."""

    delivery: Delivery
    rehearsal: Rehearsal
    signed: RawRequest


class Performer:
    """Performs steps one after the other and keeps the books: what each lead must have by now."""

    def __init__(
        self, system: System, configuration: Configuration, settings: Settings, live: Mapping[str, Secret]
    ) -> None:
        self._system = system
        self._configuration = configuration
        self._settings = settings
        self._live = live
        self._books: dict[str, LeadState] = {}

    def seed(self, leads: Mapping[str, Mapping[str, str]]) -> None:
        """Put leads in place at HubSpot's stand-in."""
        for guid, fields in leads.items():
            url = f"{self._system.hubspot_url}/_sandbox/leads/{guid}"
            requests.put(url, json=fields, timeout=REQUEST_SECONDS).raise_for_status()

    def lead(self, guid: str) -> dict[str, Any]:
        """The lead as HubSpot's stand-in has it now."""
        url = f"{self._system.hubspot_url}/_sandbox/leads/{guid}"
        answer: dict[str, Any] = requests.get(url, timeout=REQUEST_SECONDS).json()
        return answer

    def perform(self, step: Step) -> Performed:
        """Send what the step says, wait until all is delivered, and compare."""
        prepared = [self._prepare(delivery) for delivery in step.deliveries]
        before = len(self._requests())
        with ThreadPoolExecutor(len(prepared)) as threads:
            answers = tuple(threads.map(_post, [item.signed for item in prepared]))
        self._system.settle()
        arrived = tuple(_arrived(entry) for entry in self._requests()[before:])
        expected = self._enter(prepared) if step.outcome == "update" else {}
        states, why = self._stored(step, answers)
        failures = (
            *_answer_failures(step, answers),
            *(f"the event is {state}, not {_STATES[step.outcome]}" for state in states if state != _STATES[step.outcome]),
            *_arrival_failures(expected, arrived),
        )
        types = tuple(item.rehearsal.events[0].translation.type or "?" for item in prepared)
        return Performed(step, types, answers, arrived, why, failures)

    def _prepare(self, delivery: Delivery) -> _Prepared:
        source = usable_source(self._configuration, delivery.source)
        file = self._settings.mappings_dir / delivery.source / "examples" / delivery.example
        recorded = json.loads(request_from_file(source, file, {}, "").body)
        url = f"{self._system.web_url}/hooks/{delivery.source}"
        request = RawRequest(
            source=source.name, method="POST", url=url, query="", headers={"content-type": "application/json"},
            body=json.dumps(delivery.payload(recorded)).encode(), received_at=now(),
        )  # fmt: skip
        rehearsal = rehearse(
            self._configuration, source, request, max_body_bytes=self._settings.max_body_bytes,
            lead=self._books.get(delivery.guid, {}),
        )  # fmt: skip
        live = self._live[delivery.source]
        secret = replace(live, value=f"{live.value}?") if delivery.forged else live
        return _Prepared(delivery, rehearsal, source.scheme.sign(request, secret, now()))
