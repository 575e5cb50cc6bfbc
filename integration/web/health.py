"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import hmac
import json
import os

from flask import Blueprint, Response, request

from integration.config.sources import Configuration, Sources
from integration.core import metrics
from integration.core.clock import Clock
from integration.core.errors import LeadwireError
from integration.store.engine import Store
from integration.store.schema import require_current
from integration.verify.scheme import challenge_for
from integration.web.gauges import gauges
from integration.web.problems import problem


def health_blueprint(store: Store, sources: Sources, clock: Clock, *, metrics_token: str) -> Blueprint:
    """The routes for those who watch over the process."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _json(200, {"status": "ok"})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        missing = _store_reasons(store)
        may_know = bool(metrics_token) and _is_presented(metrics_token)
        mistakes = _mistakes(sources.current, in_full=may_know)
        status = {"status": "not ready" if missing else "ready", "reasons": [*missing, *mistakes]}
        return _json(503 if missing else 200, status)

    @blueprint.get("/metrics")
    def show_metrics() -> Response:
        if metrics_token and not _is_presented(metrics_token):
            said = "Send METRICS_TOKEN as a bearer token."
            return problem(401, "not_authorized", said, challenge_for("Bearer"))
        counters = metrics.render(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        present = gauges(store, sources.current, clock())
        return Response(counters + present, content_type="text/plain; version=0.0.4; charset=utf-8")

    return blueprint


def _is_presented(token: str) -> bool:
    presented = request.headers.get("Authorization", "").encode()
    return hmac.compare_digest(presented, f"Bearer {token}".encode())


def _mistakes(configuration: Configuration, *, in_full: bool) -> list[str]:
    """Files that are not used as they are: no reason not to be ready, as what was good goes on."""
    found = configuration.mistakes
    if in_full or not found:
        return [str(mistake) for mistake in found.values()]
    return [f"{len(found)} of the mapping files {'has' if len(found) == 1 else 'have'} mistakes"]


def _store_reasons(store: Store) -> list[str]:
    try:
        require_current(store)
    except LeadwireError as error:
        return [str(error)]
    return []


def _json(status: int, body: object) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
