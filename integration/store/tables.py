"""All tables. Times are microseconds since 1970 (`Micros`); ids are ULIDs: both databases sort them alike.

An index stands beside the query it serves; partial indexes hold only the rows that still have work in
them, so that claiming costs the same with a million settled rows as with none.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
    text,
)

metadata = MetaData()

# Ids and keys compare byte by byte: PostgreSQL's default collation would be slower and sort otherwise.
_Key = Text().with_variant(String(collation="C"), "postgresql")

BEFORE_ACCOUNTS = "main"  # whose everything is that was stored before there were accounts


def _account() -> Column[str]:
    """The account that a row belongs to."""
    return Column("account", _Key, nullable=False, server_default=BEFORE_ACCOUNTS)


def _partial_index(name: str, *columns: Column[str] | Column[int], where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def in_state(table: Table, state: str) -> ColumnElement[bool]:
    """Whether a row is in this state, which is written out: a database uses a partial index only where the
    index's condition is repeated to the letter, and a parameter is not the letter.
    """
    named: ColumnElement[str] = literal_column(f"'{state}'")
    return table.c.state == named


def is_settled() -> ColumnElement[bool]:
    """Whether an event is beyond `received`: the condition of `events_settled`, to the letter."""
    received: ColumnElement[str] = literal_column("'received'")
    return events.c.state != received


requests = Table(
    "requests",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("source", _Key, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("reason", Text, comment="why it was rejected; null when accepted"),
    Column("detail", Text),
    Column("client", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("url", Text, nullable=False, comment="credentials in it are digests"),
    Column("headers", Text, nullable=False, comment="JSON object; credentials in it are digests"),
    Column(
        "body", LargeBinary, comment="as received; null once pruned, or when a rejected one was too large"
    ),
    Column("body_size", Integer, nullable=False),
    Column(
        "held",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="1: accepted, and not taken apart before its mapping is good",
    ),
    _account(),
)
_partial_index("requests_held", requests.c.account, requests.c.source, requests.c.id, where="held = 1")
_partial_index("requests_rejected", requests.c.source, requests.c.id, where="reason IS NOT NULL")
_partial_index("requests_rejected_by_id", requests.c.id, where="reason IS NOT NULL")

events = Table(
    "events",
    metadata,
    Column("id", _Key, primary_key=True, comment="request id, '-', position in the request"),
    Column("request_id", _Key, nullable=False),
    Column("position", Integer, nullable=False),
    Column("source", _Key, nullable=False),
    Column("dedup_key", _Key, nullable=False, comment="the source's event id, or a digest of the content"),
    Column("type", Text),
    Column("occurred_at", BigInteger),
    Column("state", Text, nullable=False, comment="received | fetching | translated | ignored | dead"),
    Column("leased_by", Text),
    Column("leased_until", BigInteger, nullable=False, server_default="0"),
    Column("settled_at", BigInteger),
    Column("lead_id", _Key),
    Column("cause", Text, comment="a code that groups; set when ignored or dead"),
    Column("detail", Text),
    Column("cure", Text),
    Column("mapping_version", Text),
    _account(),
)
Index("events_dedup", events.c.source, events.c.dedup_key, unique=True)
Index("events_by_source", events.c.source, events.c.id)
Index("events_by_type", events.c.type, events.c.id)
_partial_index("events_received", events.c.id, where="state = 'received'")
_partial_index(
    "events_received_by_source", events.c.account, events.c.source, events.c.id, where="state = 'received'"
)
_partial_index("events_settled", events.c.state, events.c.id, where="state <> 'received'")
_partial_index(
    "events_dead_of_account", events.c.account, events.c.cause, events.c.id, where="state = 'dead'"
)
_partial_index(
    "events_dead_of_account_by_time",
    events.c.account,
    events.c.cause,
    events.c.settled_at,
    where="state = 'dead'",
)
_partial_index("events_dead", events.c.cause, events.c.id, where="state = 'dead'")
_partial_index("events_dead_by_time", events.c.cause, events.c.settled_at, where="state = 'dead'")
_partial_index("events_by_lead", events.c.lead_id, events.c.id, where="lead_id IS NOT NULL")

leads = Table(
    "leads",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("state", Text, nullable=False, comment="clean | due | leased | dead"),
    Column(
        "document",
        Text,
        nullable=False,
        comment="JSON: each field's value, clock, origin, and what HubSpot has",
    ),
    Column(
        "folded", Text, nullable=False, server_default="{}", comment="JSON: what pruned updates had come to"
    ),
    Column("refold", SmallInteger, nullable=False, server_default="0", comment="1: rebuild the document"),
    Column("priority", SmallInteger, nullable=False, server_default="0", comment="0 live, 1 replay"),
    Column("due_at", BigInteger),
    Column("waiting_since", BigInteger, comment="when its oldest unsent change came"),
    Column("leased_by", Text),
    Column("leased_until", BigInteger),
    Column(
        "attempts", Integer, nullable=False, server_default="0", comment="failed ones since the last success"
    ),
    Column("failing_since", BigInteger),
    Column("cause", Text),
    Column("detail", Text),
    Column("cure", Text),
    Column("updated_at", BigInteger, nullable=False),
    Column("creates", SmallInteger, nullable=False, server_default="0", comment="1: HubSpot may create it"),
    Column(
        "refused",
        Text,
        nullable=False,
        server_default="{}",
        comment="JSON: field to the value that HubSpot refused, and why",
    ),
    _account(),
)
_partial_index(
    "leads_due_of_account", leads.c.account, leads.c.priority, leads.c.due_at, where="state = 'due'"
)
_partial_index("leads_due", leads.c.priority, leads.c.due_at, where="state = 'due'")
_partial_index("leads_due_by_cause", leads.c.account, leads.c.cause, leads.c.id, where="state = 'due'")
_partial_index("leads_waiting", leads.c.waiting_since, where="waiting_since IS NOT NULL")
_partial_index("leads_leased", leads.c.leased_until, where="state = 'leased'")
_partial_index("leads_to_refold", leads.c.id, where="refold = 1")
_partial_index("leads_dead_of_account", leads.c.account, leads.c.cause, leads.c.id, where="state = 'dead'")
_partial_index(
    "leads_dead_of_account_by_time",
    leads.c.account,
    leads.c.cause,
    leads.c.updated_at,
    where="state = 'dead'",
)
_partial_index("leads_dead", leads.c.cause, leads.c.id, where="state = 'dead'")
_partial_index("leads_dead_by_time", leads.c.cause, leads.c.updated_at, where="state = 'dead'")

identifiers = Table(
    "identifiers",
    metadata,
    Column("kind", _Key, primary_key=True),
    Column("value", _Key, primary_key=True),
    Column("lead_id", _Key, nullable=False),
    Column("found_at", BigInteger, comment="when HubSpot was asked; null when an event or a person said so"),
    _account(),
)
Index("identifiers_by_lead", identifiers.c.lead_id)
# HubSpot knows a lead by one guid and one contact id; no two workers may link it to different ones.
_partial_index(
    "identifiers_single",
    identifiers.c.lead_id,
    identifiers.c.kind,
    where="kind IN ('guid', 'contact_id')",
    unique=True,
)

updates = Table(
    "updates",
    metadata,
    Column("event_id", _Key, primary_key=True),
    Column("lead_id", _Key, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("clock_key", _Key, nullable=False, comment="source/dedup_key: settles ties in time"),
    Column("changes", Text, nullable=False, comment="JSON list of field, value, write rule, place, rule"),
    Column("mapping_version", Text, nullable=False),
    _account(),
)
Index("updates_by_lead", updates.c.lead_id, updates.c.event_id)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("lead_id", _Key, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("duration", BigInteger, nullable=False, comment="microseconds"),
    Column("status", Integer, comment="null when no answer came"),
    Column("outcome", Text, nullable=False, comment="done | again | set_aside | stop"),
    Column("fields", Text, nullable=False, comment="JSON object of what was sent"),
    Column("event_ids", Text, nullable=False, comment="JSON list"),
    Column("cause", Text),
    Column("detail", Text),
    _account(),
)
Index("attempts_by_lead", attempts.c.lead_id, attempts.c.id)

fetches = Table(
    "fetches",
    metadata,
    Column("event_id", _Key, primary_key=True),
    Column("source", _Key, nullable=False),
    Column("due_at", BigInteger, comment="null: it is not waited for any more"),
    Column("leased_by", Text),
    Column("leased_until", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="failed ones"),
    Column("failing_since", BigInteger),
    Column("detail", Text, comment="why the last attempt failed"),
    Column("address", Text, comment="what was fetched: path and query; no credentials"),
    Column("headers", Text, comment="JSON object: content type and encoding of the answer"),
    Column("answer", LargeBinary, comment="the body as it came over the wire; null until it did"),
    Column("fetched_at", BigInteger),
    _account(),
)
_partial_index(
    "fetches_due_of_account",
    fetches.c.account,
    fetches.c.source,
    fetches.c.due_at,
    where="due_at IS NOT NULL",
)
_partial_index("fetches_due", fetches.c.source, fetches.c.due_at, where="due_at IS NOT NULL")

# One row per request that the rate limit allows in its window. A request occupies a slot from before it is
# sent until one window after its answer, so no sliding window can ever hold more requests than slots.
budget_slots = Table(
    "budget_slots",
    metadata,
    Column("account", _Key, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("free_at", BigInteger, nullable=False),
)
Index("budget_slots_free", budget_slots.c.account, budget_slots.c.free_at)

accounts = Table(
    "accounts",
    metadata,
    Column("account", _Key, primary_key=True),
    Column("paused_until", BigInteger, nullable=False, server_default="0"),
    Column("pauses", Integer, nullable=False, server_default="0", comment="in a row; the next one is longer"),
    Column("reason", Text),
)

# One row for each thing that people are told about, so that all workers together tell it once.
alerts = Table(
    "alerts",
    metadata,
    Column("subject", _Key, primary_key=True, comment="kind of dead letter, '/', cause; or 'delivery'"),
    Column(
        "since", BigInteger, nullable=False, server_default="0", comment="delivery: paused since; 0: works"
    ),
    Column("told_until", BigInteger, nullable=False, server_default="0", comment="what came later is news"),
    Column("next_at", BigInteger, nullable=False, server_default="0", comment="nobody tells it before"),
    Column("failures", Integer, nullable=False, server_default="0", comment="posts that failed in a row"),
    _account(),
)

# What goes on while a file has a mistake: texts that were good, of each file the newest few.
mapping_versions = Table(
    "mapping_versions",
    metadata,
    Column("account", _Key, primary_key=True, server_default=BEFORE_ACCOUNTS),
    Column("name", _Key, primary_key=True, comment="the source's, or 'fields' for fields.yaml"),
    Column("digest", _Key, primary_key=True, comment="SHA-256 of the text"),
    Column("text", Text, nullable=False),
    Column("since", BigInteger, nullable=False, comment="when it was last taken into use"),
)
Index(
    "mapping_versions_newest",
    mapping_versions.c.account, mapping_versions.c.name, mapping_versions.c.since,
)  # fmt: skip

tokens = Table(
    "tokens",
    metadata,
    Column("account", _Key, primary_key=True),
    Column("sealed", Text, nullable=False, server_default="", comment="encrypted; empty before the first"),
    Column("expires_at", BigInteger, nullable=False, server_default="0"),
    Column(
        "leased_until", BigInteger, nullable=False, server_default="0", comment="one worker fetches a new one"
    ),
    Column(
        "sealed_refresh",
        Text,
        nullable=False,
        server_default="",
        comment="encrypted; empty while the one of the settings is good",
    ),
)

pauses = Table(
    "pauses",
    metadata,
    Column("account", _Key, primary_key=True, server_default=BEFORE_ACCOUNTS),
    Column("subject", _Key, primary_key=True, comment="'source:', source: nothing is fetched for it"),
    Column("paused_until", BigInteger, nullable=False, server_default="0"),
    Column("pauses", Integer, nullable=False, server_default="0", comment="in a row; the next one is longer"),
    Column("probe_until", BigInteger, nullable=False, server_default="0", comment="one worker asks alone"),
    Column("reason", Text, nullable=False, server_default=""),
)

certificates = Table(
    "certificates",
    metadata,
    Column("account", _Key, primary_key=True, server_default=BEFORE_ACCOUNTS),
    Column("address", _Key, primary_key=True, comment="where the sender publishes it"),
    Column("pem", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, comment="its own end"),
    Column("verified_at", BigInteger, nullable=False, comment="when it verified a request"),
)
