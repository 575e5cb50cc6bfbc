"""A checked, compiled mapping file: what the pipeline calls for every request and event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from integration.core.values import (
    BodyField,
    EventContext,
    Handshake,
    IncomingEvent,
    Micros,
    Translation,
    Wire,
)
from integration.mapping.fetch_spec import Fetch
from integration.mapping.parts import EventKeys, LeadKey, Rule
from integration.mapping.paths import ExpressionError
from integration.mapping.translation import (
    RulesFor,
    event_id,
    event_type,
    occurred_at,
    prepared,
    translate,
)

LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class VerifySpec:
    """How requests are verified: `options` as written (with `scheme`, without `secrets`), the names of the
    settings that hold the secrets, and where those stand.
    """

    options: Mapping[str, Any]
    secrets: tuple[str, ...]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Reception:
    """The part of a mapping file that receiving needs: who may send, handshakes, and the answer."""

    verify: VerifySpec
    handshake: tuple[Handshake, ...] = ()
    respond: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class MappingTest:
    """One entry under `tests:`. Exactly one of `expect`, `expect_ignored` and `expect_dead` is set.

    `given` is the file with the payload; `position` says which of its events; `headers` has lower-case names.
    `fetched` is the file with what the mapping's `fetch:` gets.
    """

    name: str
    given: Path
    place: str
    position: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    fetched: Path | None = None
    lead_before: Mapping[str, Wire | None] = field(default_factory=dict)
    expect: Mapping[str, Wire | None] | None = None
    expect_ignored: bool = False
    expect_dead: str | None = None


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request as its mapping looks at it: the body, decoded, and each event's own part, found once."""

    payload: Any
    elements: Sequence[Any]
    headers: Mapping[str, str]
    query: str
    received_at: Micros
    found: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def event(self, position: int) -> EventContext:
        """What `translate` needs to know of the event at `position`.

        It gets the whole body where the mapping finds no such event: it may have been changed since.
        """
        element = self.elements[position] if position < len(self.elements) else self.payload
        return EventContext(
            element, self.payload, self.headers, self.query, self.received_at, found=self.found
        )


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """A mapping file without problems. `file` is what messages call it, `version` tells contents apart.

    `respond` is what the source demands as answer (`status`, `body`, `content_type`), if it does;
    `creates_leads` is `lead.create`. `fetch` says what is fetched before translation, if anything is; `body`
    is the form field that holds the real body; `handshake` what is answered without being an event.
    """

    source: str
    title: str
    file: str
    version: str
    verify: VerifySpec
    event: EventKeys
    lead: tuple[LeadKey, ...]
    creates_leads: bool
    rules: tuple[Rule, ...]
    respond: Mapping[str, Any] | None
    fetch: Fetch | None
    tests: tuple[MappingTest, ...]
    rules_for: RulesFor = field(repr=False)
    body: BodyField | None = None
    handshake: tuple[Handshake, ...] = ()

    def incoming(
        self, payload: Any, headers: Mapping[str, str], query: str, received_at: Micros
    ) -> tuple[IncomingEvent, ...]:
        """The events of a request: one, or one for each element of `event.each`. Never raises.

        `headers` has lower-case names. What is not a list under `event.each` counts as one event, which
        translation then sets aside.
        """
        request = self.request_context(payload, headers, query, received_at)
        return tuple(self.incoming_at(request, range(len(request.elements))))

    def incoming_at(self, request: RequestContext, positions: Iterable[int]) -> list[IncomingEvent]:
        """The events of a request at these positions, for who must not be busy with all of them at once."""
        return [self._incoming(position, request.event(position)) for position in positions]

    def request_context(
        self, payload: Any, headers: Mapping[str, str], query: str, received_at: Micros
    ) -> RequestContext:
        """What `translate` needs to know of all events of a request. Its cost is that of the whole body."""
        elements = self._elements(payload, headers, query, received_at)
        return RequestContext(payload, elements, headers, query, received_at)

    def context(
        self, payload: Any, position: int, headers: Mapping[str, str], query: str, received_at: Micros
    ) -> EventContext:
        """The same for the event at `position` only: for several of a request, use `request_context`."""
        return self.request_context(payload, headers, query, received_at).event(position)

    def translate(self, context: EventContext, *, trace: bool = False) -> Translation:
        """What this mapping makes of an event; with each step in words if `trace`. Never raises."""
        if self.fetch is not None:
            ready = prepared(self.fetch, self.event, self.rules_for, context)
            if isinstance(ready, Translation):
                return ready
            context = ready
        return translate(self.event, self.lead, self.rules, self.rules_for, context, trace=trace)

    def _elements(
        self, payload: Any, headers: Mapping[str, str], query: str, received_at: Micros
    ) -> list[Any]:
        if self.event.each is None:
            return [payload]
        try:
            found = self.event.each.get(EventContext(payload, payload, headers, query, received_at))
        except ExpressionError:
            return [payload]
        return found if isinstance(found, list) else [payload]

    def _incoming(self, position: int, context: EventContext) -> IncomingEvent:
        event = self.event
        return IncomingEvent(
            position,
            self._dedup_key(position, context),
            event_type(event, context),
            occurred_at(event, context),
        )

    def _dedup_key(self, position: int, context: EventContext) -> str:
        id_ = event_id(self.event, context)
        if id_ is None:
            id_ = digest(context.payload)
            if not self.event.repeats:
                return id_
        if self.event.repeats:
            id_ = f"{id_}@{context.received_at}"
        if self.event.each is not None and self.event.id is not None and self.event.id.value.per_request:
            id_ = f"{id_}#{position}"
        return (
            id_
            if len(id_) <= LONGEST_KEY and id_.isprintable()
            else _hashed(id_.encode(errors="surrogatepass"))
        )


def digest(content: Any) -> str:
    """`sha256:` and the digest of JSON content, the same however its keys are ordered. Any depth."""
    parts: list[str] = []
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            names = sorted(node)
            parts.append(f"object {names}")
            waiting.extend([node[name] for name in names])
        elif isinstance(node, list):
            parts.append(f"list {len(node)}")
            waiting.extend(node)
        else:
            parts.append(hex(node) if node.__class__ is int else repr(node))
    return _hashed("\n".join(parts).encode())


def _hashed(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"
