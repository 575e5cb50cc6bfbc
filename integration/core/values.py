"""The frozen values that stages hand to each other.

Times are `Micros`: whole microseconds since 1970-01-01T00:00:00Z. Values of lead fields are
`Wire` values: what stands in the JSON body of the request to HubSpot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from integration.core.bounds import storable

Micros = int
MAIN_ACCOUNT = "main"  # the HubSpot account that all belongs to; the one in use
Wire = str | int | float | bool
WriteRule = Literal["latest", "earliest", "max", "min", "sum", "if_empty"]
NEVER_CLEAR: tuple[WriteRule, ...] = ("max", "min", "sum", "if_empty")

MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One HTTP request as received.

    `headers` has lower-case names; a header that came several times is joined by ", ".
    `url` is the one the sender used (PUBLIC_URL, path and query string); `query` is its query
    string, undecoded. `body` is the bytes as they came over the wire, before any decompression.
    `redacted` tells that credentials in `headers` and `url` were replaced by their digests, as in
    every stored request: see `integration.verify.redact`.
    `certificate` is what stands where the request says that its sender's certificate is, for schemes that
    need it; it is fetched when the request is verified, and not stored.
    """

    source: str
    method: str
    url: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    received_at: Micros
    client: str = ""
    redacted: bool = False
    certificate: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class BodyField:
    """A form field that holds the real body: its name, how it is written (`text`, `base64`), and the content
    type of what it holds.
    """

    field: str
    encoding: str = "text"
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request by which a source tries out its URL, and the answer that it wants; never an event.

    It is known by exactly one of a parameter of the URL (`query`), a `header`, a dotted path in the `body`,
    whose text is `{value}` in `reply`, or by an `empty` body; all `when` (dotted paths of the body to texts)
    must hold. `verified`: only after the scheme accepted it. `token_query` must equal the secret in the
    setting `token_secret`. `reply_header` repeats the value.
    """

    method: str = "POST"
    query: str | None = None
    header: str | None = None
    body: str | None = None
    empty: bool = False
    when: Mapping[str, str] = field(default_factory=dict)
    verified: bool = True
    token_query: str | None = None
    token_secret: str | None = None
    reply: str = ""
    content_type: str = "text/plain"
    reply_header: str | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A live secret of a source: the name of its setting and its value. The value is never printed."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found. `reason` is None when the request is genuine.

    `reason` is a stable word (`signature_mismatch`), `detail` says it in a sentence for the person
    who looks the request up; neither ever holds a secret. `secret_name` is the setting that matched.
    """

    reason: str | None = None
    detail: str = ""
    secret_name: str = ""

    @property
    def accepted(self) -> bool:
        """True when the request is genuine."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event as found in a request at the time of accepting.

    `dedup_key` is the source's own event id, or a digest of the content where there is none.
    `type` and `occurred_at` are None when the payload does not give them (translation then says so).
    """

    position: int
    dedup_key: str
    type: str | None
    occurred_at: Micros | None


@dataclass(frozen=True, slots=True)
class EventContext:
    """All that a mapping may look at when it translates one event.

    `payload` is the event's own part of the body (one element where the mapping says `event.each`),
    `envelope` the whole body; both decoded. `query` is the request's query string, undecoded. `fetched` is
    what the source's API answered to the mapping's `fetch:`, decoded; None if nothing was fetched. `found` is
    what expressions found in the whole body: all events of a request share it, so each is evaluated once.
    """

    payload: Any
    envelope: Any
    headers: Mapping[str, str]
    query: str
    received_at: Micros
    fetched: Any = None
    found: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Identifier:
    """One way to know a lead: kind is `guid`, `contact_id`, `email` or a name under `lead.keys`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """An identifier of a lead. `found_at`: when HubSpot was asked; None when an event or a person said so."""

    kind: str
    value: str
    found_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that one event asks to change. `value` None blanks the field (`missing: clear`).

    `place` is the `file:line` of the mapping that set it, `rule` the name of its rule.
    """

    field: str
    value: Wire | None
    write: WriteRule
    place: str
    rule: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something was set aside. `code` groups (`missing_lead`), `detail` tells a person what happened
    (field, value shortened, file:line), `cure` what to do.
    """

    code: str
    detail: str
    cure: str

    def __post_init__(self) -> None:
        # It may quote what others said, and is stored.
        object.__setattr__(self, "detail", storable(self.detail))
        object.__setattr__(self, "cure", storable(self.cure))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a translation, for `try` and `explain`: where, and what happened in words."""

    place: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A GET to a source's API: `address` is path and query below the base that the mapping names, `headers`
    those that the mapping asks for, without credentials.
    """

    address: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Translation:
    """What a mapping makes of one event: exactly one of an update, `ignored`, `dead`, or `fetch`.

    `identifiers` are in the mapping's order of preference; `changes` hold each field at most once
    (a later rule of the file wins). `ignored` says why no rule applied. `fetch` is what has to be fetched
    from the source's API first.
    """

    type: str | None = None
    occurred_at: Micros | None = None
    identifiers: tuple[Identifier, ...] = ()
    changes: tuple[FieldChange, ...] = ()
    ignored: str | None = None
    dead: Cause | None = None
    fetch: FetchRequest | None = None
    steps: tuple[Step, ...] = ()

    @property
    def has_update(self) -> bool:
        """Whether the event asks for a change of a lead."""
        return self.dead is None and self.ignored is None and self.fetch is None


class EventState(StrEnum):
    """How far an event is: `fetching` waits for what its source's API says; the last three are its end."""

    RECEIVED = "received"
    FETCHING = "fetching"
    TRANSLATED = "translated"
    IGNORED = "ignored"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Update:
    """The field changes that one event asks for on one lead, translated and validated.

    `clock` settles which of two updates is newer: the event's own time, then `source/dedup_key`, so
    that a tie is settled the same way in whatever order the two arrive.
    """

    event_id: str
    clock: tuple[Micros, str]
    changes: tuple[FieldChange, ...]
    mapping_version: str = ""


@dataclass(frozen=True, slots=True)
class TranslatedEvent:
    """An event and what its mapping made of it. `key` is the source's own id of it (or a digest), `creates`
    the mapping's `lead.create`.
    """

    id: str
    source: str
    key: str
    translation: Translation
    mapping_version: str
    creates: bool = False

    @property
    def update(self) -> Update:
        """The update that it asks for; only for translations that have one."""
        clock = (self.translation.occurred_at or 0, f"{self.source}/{self.key}")
        return Update(self.id, clock, self.translation.changes, self.mapping_version)


@dataclass(frozen=True, slots=True)
class EventEnd:
    """How translation left an event: translated, ignored or dead, or fetching."""

    id: str
    state: EventState
    type: str | None
    occurred_at: Micros | None
    lead_id: str | None = None
    cause: Cause | None = None
    mapping_version: str = ""


@dataclass(frozen=True, slots=True)
class Find:
    """Ask HubSpot which lead has one of these identifiers: one call asks by the kind of the first.

    With `may_create`, a lead that HubSpot does not have is created by the next operation. `event_ids`, here
    and below, are the events that the operation is for (the correlation to requests).
    """

    record_id: str
    sought: Sequence[Identifier]
    event_ids: Sequence[str] = ()
    may_create: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """Ask HubSpot what the fields with these names hold. `identifiers` maps a kind to its value
    (`{"guid": "8a41…"}`), here and below.
    """

    record_id: str
    identifiers: Mapping[str, str]
    names: Sequence[str]
    event_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Send a bundle to a lead that HubSpot has: `fields` holds only what changes, None meaning blank."""

    record_id: str
    identifiers: Mapping[str, str]
    fields: Mapping[str, Wire | None]
    event_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Create:
    """Send a bundle to a lead that HubSpot may not have: then it is created, with these identifiers."""

    record_id: str
    identifiers: Mapping[str, str]
    fields: Mapping[str, Wire | None]
    event_ids: Sequence[str] = ()


Operation = Find | Read | Write | Create


def fields_of(operation: Operation) -> Mapping[str, Wire | None]:
    """The fields that an operation writes: none where it only asks."""
    return operation.fields if isinstance(operation, Write | Create) else {}


OutcomeKind = Literal["done", "again", "not_found", "set_aside", "split", "stop"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended, judged in one place (`integration.hubspot.outcomes`).

    `again`: retry later, not before `retry_after` seconds if given. `not_found`: HubSpot has no such lead,
    at least not yet. `set_aside`: a person must act. `split`: a call with several operations was refused
    for one that the answer does not name, so send it again in two halves. `stop`: no delivery at all can work
    now (the token is refused). `status` is None when no answer came.
    `used_up_for`: the answer says that the account's budget is used up for so many seconds.
    `values`: what HubSpot has in the fields that were read; None is blank. `found`: how HubSpot knows
    the lead, by kind of identifier (`{"guid": "8a41…"}`), where the answer tells. `refused_fields`: what
    HubSpot does not take, and why; with `again`, the operation goes again at once without these.
    """

    kind: OutcomeKind
    status: int | None = None
    cause: Cause | None = None
    retry_after: float | None = None
    used_up_for: float | None = None
    values: Mapping[str, Wire | None] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    refused_fields: Mapping[str, Cause] = field(default_factory=dict)

    @property
    def pauses_all(self) -> bool:
        """Whether this says that no request can work now, whichever record it is for."""
        return self.kind == "stop" or self.status == 429


@dataclass(frozen=True, slots=True)
class Attempt:
    """An operation that HubSpot was asked for, and what came of it. `duration` is in microseconds."""

    operation: Operation
    outcome: Outcome
    started_at: Micros
    duration: int
