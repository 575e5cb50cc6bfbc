"""The web application."""

from __future__ import annotations

import atexit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from integration.config.sources import Sources
from integration.core.clock import Clock, now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.pipeline.accept import Intake
from integration.pipeline.verification import Certificates, Verifier, published
from integration.store.engine import Store
from integration.web import problems
from integration.web.health import health_blueprint
from integration.web.live_sources import live_sources
from integration.web.receive import receive_blueprint


def create_app(
    settings: Settings,
    sources: Sources | None = None,
    clock: Clock = now,
    certificates: Certificates | None = None,
) -> Flask:
    """One web process's application. Made after forking: it starts the thread that commits."""
    store = Store(settings.database_url)
    current = live_sources(settings, store, MAIN_ACCOUNT, clock) if sources is None else sources
    intake = Intake(
        store,
        current,
        clock,
        Verifier(certificates or published(store, MAIN_ACCOUNT, allow_private=settings.fetch_allow_private)),
        max_body_bytes=settings.max_body_bytes,
        rejected_keep=settings.rejected_keep,
    )
    atexit.register(intake.close)
    app = Flask("integration.web", static_folder=None)
    # //hooks/stripe would be redirected, which senders take for a failure; and to whatever host they named.
    app.url_map.merge_slashes = False
    problems.register(app)
    app.register_blueprint(
        receive_blueprint(
            intake,
            MAIN_ACCOUNT,
            clock,
            public_url=settings.public_url,
            max_body_bytes=settings.max_body_bytes,
        )
    )
    app.register_blueprint(
        health_blueprint(store, MAIN_ACCOUNT, current, clock, metrics_token=settings.metrics_token)
    )
    hops = settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app
