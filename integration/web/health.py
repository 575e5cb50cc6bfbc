"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import hmac
import json
import os

from flask import Blueprint, Response, request

from integration.config.sources import Sources
from integration.core import metrics
from integration.core.clock import Clock
from integration.core.errors import LeadwireError
from integration.store.backlog import backlog_metrics
from integration.store.engine import Store
from integration.store.schema import require_current
from integration.verify.scheme import challenge_for
from integration.web.problems import problem


def health_blueprint(store: Store, sources: Sources, clock: Clock, *, metrics_token: str) -> Blueprint:
    """The routes for those who watch over the process."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _json(200, {"status": "ok"})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        reasons = [*_store_reasons(store), *(str(found) for found in sources.current.problems)]
        return _json(
            503 if reasons else 200, {"status": "not ready" if reasons else "ready", "reasons": reasons}
        )

    @blueprint.get("/metrics")
    def show_metrics() -> Response:
        presented = request.headers.get("Authorization", "").encode()
        if metrics_token and not hmac.compare_digest(presented, f"Bearer {metrics_token}".encode()):
            said = "Send METRICS_TOKEN as a bearer token."
            return problem(401, "not_authorized", said, challenge_for("Bearer"))
        counters = metrics.render(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        return Response(
            counters + backlog_metrics(store, clock()),
            content_type="text/plain; version=0.0.4; charset=utf-8",
        )

    return blueprint


def _store_reasons(store: Store) -> list[str]:
    try:
        require_current(store)
    except LeadwireError as error:
        return [str(error)]
    return []


def _json(status: int, body: object) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
