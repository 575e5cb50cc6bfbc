"""Accept: verify a request, find its events, commit both, and only then answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.config.sources import BrokenSource, HeldSource, Receiver, Source, Sources, UnsetSource
from integration.core import metrics
from integration.core.clock import Clock
from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import IncomingEvent, RawRequest, Verdict
from integration.core.world import world
from integration.mapping import SourceMapping
from integration.pipeline.handshakes import reply_to
from integration.pipeline.verification import Verifier
from integration.store.engine import Store
from integration.store.group_commit import GroupCommit
from integration.store.inbox import Arrival, Receipt, prune_rejected, store_arrivals
from integration.store.wakeup import announce
from integration.verify import redact
from integration.verify.handshake import Reply

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 500


class RefusedError(LeadwireError):
    """A request that is not accepted: the HTTP status, a stable code, and what the sender may know.

    `challenge` goes with 401: the credentials that the sender is asked for, as in `WWW-Authenticate`.
    """

    def __init__(self, status: int, code: str, detail: str, challenge: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is committed, now or before. `response` is what the source demands, if it does."""

    receipt: Receipt
    response: Mapping[str, object] | None


class Intake:
    """Takes requests in for all sources. One per web process; safe to use from many threads or greenlets."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        clock: Clock,
        verifier: Verifier,
        *,
        max_body_bytes: int,
        rejected_keep: int,
    ) -> None:
        self._sources = sources
        self._verifier = verifier
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._rejected_keep = rejected_keep
        self._commit: GroupCommit[Arrival, Receipt] = GroupCommit(store, self._write, name="inbox")
        # Tens of thousands of rows take a second or two: nobody else's commit waits for them.
        self._commit_large: GroupCommit[Arrival, Receipt] = GroupCommit(
            store, self._write, name="inbox-large"
        )

    def source(self, name: str) -> Receiver:
        """The source that may receive under this name; raises RefusedError if it is unknown or not ready."""
        source = self._sources.get(name)
        if source is None:
            raise RefusedError(404, "unknown_source", f"There is no source named {name!r} here.")
        if isinstance(source, BrokenSource):
            detail = f"The mapping of {source.name} has a problem. Send the request again later."
            raise RefusedError(503, "mapping_has_problems", detail)
        if source.missing_secrets or isinstance(source, UnsetSource):
            raise RefusedError(503, "not_configured", _not_configured(source))
        return source

    def accept(self, source: Receiver, request: RawRequest) -> Accepted | Reply:
        """Returns once the request is committed; a handshake is answered and not kept.

        Raises RefusedError (the request is kept, with its reason) or StoreUnavailableError.
        """
        reply = self.handshake(source, request, verified=False)
        if reply is not None:
            return reply
        if request.method != "POST":
            raise RefusedError(403, "handshake_refused", "The request is not a handshake of this source.")
        verdict = self._verifier.verdict(source, request, self._clock())
        if not verdict.accepted:
            self.reject(source, request, verdict)
            raise _not_verified(verdict, source.scheme.challenge)
        reply = self.handshake(source, request, verified=True)
        if reply is not None:
            return reply
        if isinstance(source, HeldSource):
            return self._hold(source, request)
        try:
            payload = decode(request.headers, request.body, self._max_body_bytes, source.mapping.body)
        except MalformedBody as error:
            self.reject(source, request, Verdict(error.code, error.detail))
            raise RefusedError(error.status, error.code, error.detail) from error
        return self._store(source, request, payload)

    def handshake(self, source: Receiver, request: RawRequest, *, verified: bool) -> Reply | None:
        """The answer if this is a handshake of the source, of those that do or do not need verification."""
        reply = reply_to(source, request, verified=verified)
        if reply is None:
            return None
        outcome = "refused" if reply.refused else "answered"
        metrics.HANDSHAKES.labels(source.name, outcome).inc()
        log_action(
            log, "request.handshake", f"A handshake of {source.name}: {outcome}",
            source=source.name, outcome=outcome, client=request.client,
        )  # fmt: skip
        if reply.refused:
            raise RefusedError(403, "handshake_refused", "The handshake's token or value is not right.")
        return reply

    def reject(self, source: Receiver, request: RawRequest, verdict: Verdict) -> None:
        """Keep a request that is not accepted, and why."""
        reason = verdict.reason or "rejected"
        receipt = self._commit.submit(
            Arrival(redact(source.scheme, request), reason=reason, detail=verdict.detail)
        )
        metrics.REJECTED.labels(source.name, reason).inc()
        log_action(
            log, "request.rejected", f"Rejected a request for {source.name}: {verdict.detail}",
            logging.WARNING, id=receipt.id, source=source.name, reason=reason, client=request.client,
        )  # fmt: skip

    def close(self) -> None:
        """Commit what is under way and stop."""
        self._commit.close()
        self._commit_large.close()

    def _hold(self, source: HeldSource, request: RawRequest) -> Accepted:
        """Store a genuine request whole, to be taken apart once its mapping is good."""
        receipt = self._commit.submit(Arrival(redact(source.scheme, request), held=True))
        metrics.ACCEPTED.labels(source.name).inc()
        log_action(
            log, "request.held", "Accepted, and held until its mapping is good", logging.WARNING,
            id=receipt.id, source=source.name,
        )  # fmt: skip
        return Accepted(receipt, source.reception.respond)

    def _store(self, source: Source, request: RawRequest, payload: object) -> Accepted:
        mapping = source.mapping
        events = _incoming(mapping, payload, request)
        commit = self._commit if len(events) <= EVENTS_AT_ONCE else self._commit_large
        receipt = commit.submit(Arrival(redact(source.scheme, request), events))
        if receipt.duplicate:
            metrics.DUPLICATES.labels(source.name).inc()
            log_action(log, "request.duplicate", "Duplicate", id=receipt.id, source=source.name)
        else:
            metrics.ACCEPTED.labels(source.name).inc()
            log_action(
                log, "request.accepted", "Accepted", id=receipt.id, source=source.name, events=len(events)
            )
        return Accepted(receipt, mapping.respond)

    def _write(self, connection: Connection, arrivals: Sequence[Arrival]) -> list[Receipt]:
        receipts = store_arrivals(connection, arrivals)
        rejected = {
            (arrival.request.account, arrival.request.source) for arrival in arrivals if arrival.reason
        }
        for account, source in rejected:
            prune_rejected(connection, account, source, self._rejected_keep)
        announce(connection)
        return receipts


def _incoming(mapping: SourceMapping, payload: object, request: RawRequest) -> tuple[IncomingEvent, ...]:
    """The request's events, found some at a time: tens of thousands keep nobody else waiting meanwhile."""
    whole = mapping.request_context(payload, request.headers, request.query, request.received_at)
    events: list[IncomingEvent] = []
    for start in range(0, len(whole.elements), EVENTS_AT_ONCE):
        if start:
            world().sleep(0)  # under gevent, others have their turn
        events += mapping.incoming_at(whole, range(start, min(start + EVENTS_AT_ONCE, len(whole.elements))))
    return tuple(events)


def _not_verified(verdict: Verdict, challenge: str) -> RefusedError:
    """One answer for every reason, so that who guesses learns nothing; 503 where the verdict may change."""
    if verdict.reason == "certificate_unavailable":
        detail = "The certificate that verifies the request cannot be had now. Send it again later."
        return RefusedError(503, "certificate_unavailable", detail)
    return RefusedError(401, "not_verified", "The request could not be verified.", challenge)


def _not_configured(source: Receiver | UnsetSource) -> str:
    names = " or ".join(source.missing_secrets) or "its secret"
    return f"The source {source.name} is not configured: set {names}."
