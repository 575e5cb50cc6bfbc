"""The whole engine in one process: requests come in, a HubSpot answers as told, a clock is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.config.sources import Source, Sources
from integration.core.settings import RateLimit
from integration.core.values import (
    MAIN_ACCOUNT,
    MICROS_PER_SECOND,
    Cause,
    Find,
    Operation,
    Outcome,
    RawRequest,
    Wire,
    fields_of,
)
from integration.hubspot.family import Family, Verb
from integration.hubspot.outcomes import ambiguous, not_found
from integration.lead.merge import FieldStates
from integration.lead.record import BundleTiming, Record
from integration.operate.dead_letters import Letters, retry_dead
from integration.operate.retention import Retention
from integration.pipeline.accept import Accepted, Intake, RefusedError
from integration.pipeline.deliver import Deliverer
from integration.pipeline.fetch import Fetcher
from integration.pipeline.rebuild import rebuild_once
from integration.pipeline.replay import Counts, Plan, Replay, Where
from integration.pipeline.translate import Translator
from integration.pipeline.verification import Verifier, published
from integration.store.engine import Store
from integration.store.history import Selection
from integration.store.views.lead_views import find_lead_id, lead_details

SECOND = MICROS_PER_SECOND
DAY = 24 * 3600 * SECOND
START = 1_764_000_000 * SECOND
MIB = 1024 * 1024
EVERYTHING = Selection()

MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event:
  id: id
  type: type
  time: {from: at, as: unix_seconds}
lead:
  {guid: guid, email: email,
  keys: {customer: customer}}
rules:
  - name: paid
    events: [paid]
    set:
      city: city
      score: {from: score, write: sum}
"""


REFUSED = Cause("refused_by_hubspot", "HubSpot answered 400: no", "fix it")


def family(operation: Operation) -> Family:
    """The families of an API that searches for leads, and writes them one by one."""
    verb = Verb(type(operation).__name__.lower())
    return Family(verb, is_search=verb is Verb.FIND)


def guid_of(operation: Operation) -> str:
    """The guid that an operation is for; "" where it looks for one."""
    return "" if isinstance(operation, Find) else operation.identifiers["guid"]


class FakeHubSpot:
    """A destination that does what `outcome` says, and keeps what it took.

    It knows the guids of `directory` by email; a request that holds one of the guids in `bad` is refused
    whole; the fields in `unknown` are refused alone.
    """

    name = "fake"
    id_kind = "guid"
    finds_by = frozenset({"email"})
    can_create = False
    most_cost = 1

    def __init__(self) -> None:
        self.max_batch = 1
        self.outcome = Outcome("done", 200)
        self.directory: dict[str, list[str]] = {}
        self.bad: set[str] = set()
        self.unknown: set[str] = set()
        self.requests: list[int] = []
        self.sent: list[tuple[str, dict[str, Wire | None]]] = []

    def family(self, operation: Operation) -> Family:
        return family(operation)

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.requests.append(len(operations))
        if len(operations) > 1 and self.bad & {guid_of(operation) for operation in operations}:
            return [Outcome("split", 400, REFUSED)] * len(operations)
        return [
            self._find(operation) if isinstance(operation, Find) else self._take(operation)
            for operation in operations
        ]

    def _find(self, find: Find) -> Outcome:
        guids = sorted({guid for known in find.sought for guid in self.directory.get(known.value, [])})
        return (
            ambiguous("guid", guids)
            if len(guids) > 1
            else (Outcome("done", 200, found={"guid": guids[0]}) if guids else not_found("there is none"))
        )

    def _take(self, operation: Operation) -> Outcome:
        fields, guid = fields_of(operation), guid_of(operation)
        if refused := self.unknown & set(fields):
            cause = Cause("field_refused", "there is no such property", "create it")
            return Outcome("again", 400, cause, refused_fields=dict.fromkeys(refused, cause))
        self.sent.append((guid, dict(fields)))
        return Outcome("set_aside", 400, REFUSED) if guid in self.bad else self.outcome


class Engine:
    """All stages over one store. `now` stands still unless a test moves it."""

    def __init__(self, store: Store, folder: Path, account: str) -> None:
        self.store = store
        self.account = account
        self.now = START
        self.batch = 200
        self.hubspot = FakeHubSpot()
        self._verifier = Verifier(published(store, account, allow_private=False))
        self.environ = {"SHOP_TOKEN": "opensesame"}
        self._folder = folder
        self.write_mapping(MAPPING)
        self.timing = BundleTiming(0, 0)
        self._deliverer = Deliverer(
            store, account, self.hubspot, self._clock, RateLimit(10_000, 1), worker="w", concurrency=2
        )

    def close(self) -> None:
        self._deliverer.close()

    def _clock(self) -> int:
        return self.now

    @property
    def sources(self) -> Sources:
        """The mappings as the files are now."""
        return Sources(self._folder, self.environ)

    def write_mapping(self, text: str, source: str = "shop") -> None:
        file = self._folder / source / "mapping.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def bundle_for(self, window: float, max_wait: float) -> None:
        """From now on leads wait for more changes, by BUNDLE_WINDOW and BUNDLE_MAX_WAIT in seconds."""
        self.timing = BundleTiming.from_seconds(window, max_wait)

    def change_mapping(self, old: str, new: str) -> None:
        file = self._folder / "shop" / "mapping.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def post(self, payload: Mapping[str, object], token: str = "opensesame") -> str:
        """Accept a request, or keep it as rejected; returns the request's id ("" for a rejected one)."""
        self.now += SECOND
        body = json.dumps({"type": "paid", "at": self.now // SECOND, **payload}).encode()
        headers = {"content-type": "application/json", "x-token": token}
        request = RawRequest(
            self.account, "shop", "POST", "https://x/hooks/shop", "", headers, body, self.now
        )
        intake = Intake(
            self.store, self.sources, self._clock, self._verifier, max_body_bytes=MIB, rejected_keep=100
        )
        try:
            source = intake.source("shop")
            assert isinstance(source, Source)
            accepted = intake.accept(source, request)
        except RefusedError:
            return ""
        finally:
            intake.close()
        assert isinstance(accepted, Accepted)
        return accepted.receipt.id

    def translate(self) -> None:
        """Translate all that waits, as a worker would."""
        translator = Translator(
            self.store, self.account, self.sources, self._clock, self.timing,
            worker="w", max_body_bytes=MIB, batch=self.batch,
        )  # fmt: skip
        while translator.run_once():
            pass

    def fetch(self) -> None:
        """Get from the sources' APIs what events wait for, as a worker would."""
        fetcher = Fetcher(
            self.store,
            self.account,
            self.sources,
            self._clock,
            worker="w",
            max_body_bytes=MIB,
            allow_private=True,
        )
        while fetcher.run_once():
            pass
        fetcher.close()

    def keep_leases(self) -> None:
        """Take over what workers held that went silent."""
        self._deliverer.keep_leases()

    def refold(self) -> int:
        return rebuild_once(self.store, self.account, self._clock)

    def deliver(self) -> list[tuple[str, dict[str, Wire | None]]]:
        """Deliver all that is due; returns what HubSpot got meanwhile."""
        before = len(self.hubspot.sent)
        while self._deliverer.run_once():
            pass
        return self.hubspot.sent[before:]

    def work(self) -> list[tuple[str, dict[str, Wire | None]]]:
        """Translate, rebuild and deliver until nothing is left; returns what HubSpot got meanwhile."""
        self.translate()
        while self.refold():
            pass
        return self.deliver()

    @property
    def engine(self) -> Replay:
        return Replay(self.store, self.account, self.sources, self._clock, self._verifier, max_body_bytes=MIB)

    def replay(
        self,
        selection: Selection = EVERYTHING,
        where: Where | None = None,
    ) -> Counts:
        return self.engine.run(selection, where, _ignore)

    def plan(self) -> Plan:
        return self.engine.plan(EVERYTHING, None, _ignore)

    def retry_dead(self) -> None:
        retry_dead(self.store, self.account, self._clock, Letters(), _ignore)

    def prune(self, days: int = 30) -> int:
        """Prune all there is to prune; returns the number of steps."""
        retention, steps = Retention(self.store, self._clock, days), 0
        while retention.step():
            steps += 1
        return steps

    def lead(self, known_by: str) -> Record:
        with self.store.read() as connection:
            id = find_lead_id(connection, self.account, known_by)
            assert id is not None, known_by
            details = lead_details(connection, self.account, id, now=self.now, attempts_shown=0)
        assert details is not None
        return details.lead.record

    def state(self, known_by: str) -> FieldStates:
        return self.lead(known_by).fields

    def values(self, known_by: str) -> dict[str, Any]:
        return {name: field.value for name, field in self.state(known_by).items()}


def _ignore(_: object) -> None:
    pass


@contextmanager
def running(store: Store, folder: Path, account: str = MAIN_ACCOUNT) -> Iterator[Engine]:
    """An account's engine over this store, with its mappings in `folder`."""
    engine = Engine(store, folder / "mappings", account)
    try:
        yield engine
    finally:
        engine.close()
