"""Fetch: what an event is about is got from its source's API, before the event is translated.

Events that wait for it are claimed source by source, and each source has threads of its own: an API that is
slow or down holds up its own events only. An answer is kept with the event, so nothing later needs the API.
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from integration.body import MalformedBody, decode
from integration.config.sources import Source, Sources
from integration.core import metrics
from integration.core.backoff import read_retry_after
from integration.core.clock import Clock
from integration.core.durations import FETCH_LEASE_SECONDS, FETCH_RETRY, SOURCE_PAUSE
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Cause, FetchRequest, Micros
from integration.core.world import Future, world
from integration.http.client import Answer, Bounds, Client, NoAnswer, Why
from integration.http.oauth import Token, TokenUnavailableError
from integration.mapping import Fetch
from integration.pipeline.reading import EventReader
from integration.pipeline.shared_token import SourceTokens, TokenOf
from integration.store import fetches, pause_rows
from integration.store.engine import Store
from integration.store.fetches import FetchJob
from integration.store.inbox import Fetched
from integration.store.isolation import cause_of, lies_in_data, one_by_one
from integration.store.pause_rows import SourcePause
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

AT_ONCE_PER_SOURCE = 4
THREADS = 32
_LATER = (401, 403, 408, 425, 429)
_ANSWER_HEADERS = ("content-type", "content-encoding")


@dataclass(frozen=True, slots=True)
class Got:
    """The answer is there; `address` is what was asked for, below the base."""

    address: str
    answer: Fetched


@dataclass(frozen=True, slots=True)
class Again:
    """Not now: `detail` says why, for the log and the dead letter. `retry_after` is in seconds."""

    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The mapping, as it is now, wants nothing fetched for this event, or cannot tell what."""


FetchOutcome = Got | Again | Cause


@dataclass(frozen=True, slots=True)
class Access:
    """What fetching needs of the outside: the access tokens of sources, the way out, and the time."""

    token_of: TokenOf
    client: Client
    clock: Clock


def fetch_now(source: Source, job: FetchJob, access: Access, max_body_bytes: int) -> FetchOutcome | NotNeeded:
    """Get what the mapping says for one event. Never raises for what the API does."""
    request = _request(source, job, max_body_bytes)
    spec = source.mapping.fetch
    if request is None or spec is None:
        return NotNeeded()
    return fetch_request(source, spec, request, access)


def fetch_request(source: Source, spec: Fetch, request: FetchRequest, access: Access) -> FetchOutcome:
    """Make one request to the source's API, by its mapping's `fetch:`."""
    if unset := _setting_problem(source, spec):
        return Again(f"{spec.place}: fetch: {unset}")
    base = spec.base or source.fetch_settings[spec.base_setting].value.rstrip("/")
    url, bounds = f"{base}{request.address}", Bounds(spec.seconds, spec.max_bytes)
    wanted = {"Accept": "application/json", **request.headers}

    def call(credentials: Mapping[str, str]) -> Answer | NoAnswer:
        return access.client.request("GET", url, bounds, headers={**wanted, **credentials})

    try:
        if spec.oauth is None:
            answer = call(_credentials(source, spec))
        else:
            answer = _asked_with_token(call, access.token_of(source, spec.oauth), spec.oauth.prefix)
    except TokenUnavailableError as error:
        return Again(f"{spec.place}: fetch: {error.cause.detail}; {error.cause.cure}")
    if isinstance(answer, NoAnswer):
        return _not_got(answer, spec, _host(base))
    return _judged(answer, spec, _host(base), request.address, access.clock())


_Call = Callable[[Mapping[str, str]], Answer | NoAnswer]


def _asked_with_token(call: _Call, token: Token, prefix: str) -> Answer | NoAnswer:
    """The API's answer; where it does not take the access token any more, that to a new one."""
    used = token.value()
    answer = call({"Authorization": f"{prefix} {used}"})
    if isinstance(answer, NoAnswer) or answer.status != 401 or not token.expired(used):
        return answer
    return call({"Authorization": f"{prefix} {token.value()}"})


def _not_got(failure: NoAnswer, spec: Fetch, host: str) -> Again | Cause:
    """What it means that no answer came."""
    place = f"{spec.place}: fetch"
    if failure.why is Why.UNREACHABLE:
        return Again(f"{place}: {host}: {failure.words}")
    if failure.why is Why.TOO_LARGE:
        return _too_large(spec, failure.words)
    if failure.why is Why.ADDRESS_REFUSED:
        cure = "correct `fetch.base`; for a stand-in in a test, set FETCH_ALLOW_PRIVATE; then retry the event"
        return Cause("fetch_refused", f"{place}: {failure.words}", cure)
    cure = "correct `fetch.base`, or the setting that it names; then retry the event"
    return Cause("fetch_refused", f"{place}: the base is not an address", cure)


def _request(source: Source, job: FetchJob, max_body_bytes: int) -> FetchRequest | None:
    context = EventReader(max_body_bytes).context(source, job.event)
    if isinstance(context, MalformedBody):
        return None
    meaning = source.mapping.translate(context).meaning
    return meaning if isinstance(meaning, FetchRequest) else None


def _credentials(source: Source, spec: Fetch) -> Mapping[str, str]:
    if not spec.auth:
        return {}
    value = source.fetch_settings[spec.auth_setting].value
    if spec.auth == "bearer":
        return {"Authorization": f"Bearer {value}"}
    if spec.auth == "basic":
        return {"Authorization": f"Basic {base64.b64encode(value.encode()).decode()}"}
    return {spec.auth: value}


def _setting_problem(source: Source, spec: Fetch) -> str:
    """What is wrong with the settings that the mapping names; "" if nothing is. Never shows a value."""
    if source.missing_fetch_settings:
        return f"set {' and '.join(source.missing_fetch_settings)}"
    value = source.fetch_settings[spec.auth_setting].value if spec.auth else ""
    if value.isascii() and value.isprintable():
        return ""
    return f"{spec.auth_setting} has characters that no credentials have"


def _host(base: str) -> str:
    return urlsplit(base).hostname or "the API"


def _judged(answer: Answer, spec: Fetch, host: str, address: str, at: Micros) -> FetchOutcome:
    said = f"{spec.place}: fetch: {host} answered {answer.status}"
    if answer.status in _LATER or answer.status >= 500:
        setting = spec.oauth.grant_setting if spec.oauth else spec.auth_setting
        refused = f": it refuses the credentials in {setting}" if setting else ""
        wait = read_retry_after(answer.headers.get("retry-after"), at)
        return Again(said + (refused if answer.status in (401, 403) else ""), wait)
    if not 200 <= answer.status < 300:
        why = " (redirects are not followed)" if 300 <= answer.status < 400 else ""
        cure = "see whether the object is there and `fetch.path` is right; then retry the event"
        return Cause("fetch_refused", f"{said}{why}", cure)
    kept = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
    try:
        decode(kept, answer.body, spec.max_bytes)
    except MalformedBody as error:
        if error.status == 413:
            return _too_large(spec, error.detail)
        return Again(f"{said}, which cannot be read: {error.detail}")
    return Got(address, Fetched(kept, answer.body))


def _too_large(spec: Fetch, detail: str) -> Cause:
    cure = "allow more by `fetch.max_bytes`, then retry the event"
    return Cause("fetch_refused", f"{spec.place}: fetch: {detail}", cure)


class Fetcher:
    """Fetches what events of an account wait for. Any number of them may run at once."""

    def __init__(
        self,
        store: Store,
        account: str,
        sources: Sources,
        clock: Clock,
        *,
        worker: str,
        max_body_bytes: int,
        allow_private: bool = False,
    ) -> None:
        self._store = store
        self._account = account
        self._sources = sources
        self._clock = clock
        self._worker = worker
        self._max_body_bytes = max_body_bytes
        self._access = Access(
            SourceTokens(store, account, clock, allow_private=allow_private).of,
            Client(public_only=not allow_private, connections=AT_ONCE_PER_SOURCE),
            clock,
        )
        self._threads = world().pool(THREADS, name="fetch")
        self._lock = world().lock()
        self._in_hand: Counter[str] = Counter()

    def close(self) -> None:
        """Wait for what is on its way."""
        self._threads.shutdown(wait=True)

    def run_once(self) -> int:
        """Fetch what is due and wait for it; returns how many events that were."""
        started = self.start(lambda: None)
        for future in started:
            future.result()
        return len(started)

    def start(self, done: Callable[[], None]) -> list[Future[None]]:
        """Begin to fetch what is due and there is room for; `done` is called after each."""
        started = []
        for source, pause in self._ready_sources():
            for job in self._claim(source, pause):
                with self._lock:
                    self._in_hand[source] += 1
                future = self._threads.submit(self._run, job, pause)
                future.add_done_callback(lambda _, source=source: self._finished(source, done))  # type: ignore[misc]
                started.append(future)
        return started

    def _ready_sources(self) -> list[tuple[str, SourcePause | None]]:
        """The sources that something is due for, with the pause that the next request of each would probe."""
        now = self._clock()
        with self._store.read() as connection:
            pauses = pause_rows.source_pauses(connection, self._account)
            return [
                (source, pauses.get(source))
                for source in fetches.waiting_sources(connection, self._account)
                if (source not in pauses or pauses[source].is_over(now))
                and self._room(source)
                and fetches.any_due(connection, self._account, source, now)
            ]

    def _room(self, source: str) -> int:
        """How many more this process may fetch from this source at once."""
        with self._lock:
            return max(AT_ONCE_PER_SOURCE - self._in_hand[source], 0)

    def _claim(self, source: str, pause: SourcePause | None) -> list[FetchJob]:
        """Lease what is due; while a pause is probed, one by one worker of all."""
        now = self._clock()
        until = now + FETCH_LEASE_SECONDS * MICROS_PER_SECOND
        with self._store.write() as connection:
            if pause and not pause_rows.take_probe(connection, self._account, source, now, until):
                return []
            most = 1 if pause else self._room(source)
            jobs = fetches.claim(
                connection, self._account, self._worker, source, now=now, until=until, limit=most
            )
            if pause and not jobs:
                pause_rows.give_probe_back(connection, self._account, source)
            return jobs

    def _finished(self, source: str, done: Callable[[], None]) -> None:
        with self._lock:
            self._in_hand[source] -= 1
        done()

    def _run(self, job: FetchJob, pause: SourcePause | None) -> None:
        started_at = self._clock()
        try:
            source = self._sources.ready_for({job.event.source}).sources.get(job.event.source)
            outcome: FetchOutcome | NotNeeded = NotNeeded()
            if isinstance(source, Source):
                outcome = fetch_now(source, job, self._access, self._max_body_bytes)
            self._note(job.event.source, outcome, pause, started_at)
            self._settle(job, outcome)
        except Exception as error:
            if lies_in_data(error):
                cause = cause_of(error)
                one_by_one([job], lambda job: self._give_up(job, cause, self._clock()))
                return
            # Its lease runs out, and it is tried again.
            log.exception("A fetch failed", extra={"leadwire_fields": {"action": "worker.error"}})

    def _note(
        self, source: str, outcome: FetchOutcome | NotNeeded, pause: SourcePause | None, started_at: Micros
    ) -> None:
        """An API that does not work is left alone by all workers for a while, longer each time."""
        if isinstance(outcome, Again):
            self._pause(source, outcome, pause.pauses if pause else 0)
        elif pause and isinstance(outcome, NotNeeded):
            with self._store.write() as connection:
                pause_rows.give_probe_back(connection, self._account, source)
        elif pause:
            with self._store.write() as connection:
                ended = pause_rows.resume_source(connection, self._account, source, started_at)
            if ended:
                log_action(log, "fetch.resumed", "The source's API works again", source=source)

    def _pause(self, source: str, outcome: Again, before: int) -> None:
        delay = SOURCE_PAUSE.micros(before, retry_after=outcome.retry_after, chance=world().chance())
        with self._store.write() as connection:
            until = self._clock() + delay
            begun = pause_rows.pause_source(
                connection, self._account, source, until, before=before, reason=outcome.detail
            )
        if begun:
            log_action(
                log, "fetch.paused", f"Nothing is fetched for a while: {outcome.detail}", logging.WARNING,
                source=source, seconds=delay / MICROS_PER_SECOND,
            )  # fmt: skip

    def _settle(self, job: FetchJob, outcome: FetchOutcome | NotNeeded) -> None:
        now = self._clock()
        if isinstance(outcome, Again):
            self._try_later(job, outcome, now)
        elif isinstance(outcome, Cause):
            self._give_up(job, outcome, now)
        elif isinstance(outcome, Got):
            with self._store.write() as connection:
                kept = fetches.keep(
                    connection, self._worker, job.event.id, outcome.address, outcome.answer, now=now
                )
                announce(connection)
            if kept:
                log_action(log, "event.fetched", "Fetched", **_facts(job))
        else:
            with self._store.write() as connection:
                fetches.give_back(connection, self._worker, job.event.id)
                announce(connection)

    def _try_later(self, job: FetchJob, outcome: Again, now: Micros) -> None:
        failing_since = now if job.failing_since is None else job.failing_since
        if FETCH_RETRY.gives_up(failing_since, now):
            self._give_up(job, _gave_up(outcome), now)
            return
        delay = FETCH_RETRY.micros(job.attempts, retry_after=outcome.retry_after, chance=world().chance())
        with self._store.write() as connection:
            fetches.retry(connection, self._worker, job, now + delay, outcome.detail, now=now)
        log_action(
            log, "fetch.retry", outcome.detail, logging.WARNING, **_facts(job),
            attempts=job.attempts + 1, seconds=delay / MICROS_PER_SECOND,
        )  # fmt: skip

    def _give_up(self, job: FetchJob, cause: Cause, now: Micros) -> None:
        with self._store.write() as connection:
            given_up = fetches.give_up(connection, self._worker, job.event.id, cause, now=now)
        if given_up:
            metrics.DEAD.labels(cause.code).inc()
            log_action(
                log,
                "event.dead",
                cause.detail,
                logging.ERROR,
                cause=cause.code,
                cure=cause.cure,
                **_facts(job),
            )


def _gave_up(last: Again) -> Cause:
    return Cause(
        "fetch_gave_up",
        f"Nothing could be fetched for this event in {FETCH_RETRY.give_up_days} days. Last: {last.detail}",
        "When the source's API works again, run `leadwire dead retry --cause fetch_gave_up`.",
    )


def _facts(job: FetchJob) -> dict[str, object]:
    return {"id": job.event.request_id, "source": job.event.source, "event": job.event.id}
