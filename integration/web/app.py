"""The web application."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from integration.config.folders import shipped_mappings
from integration.config.sources import Sources
from integration.core.clock import Clock, now
from integration.core.settings import Settings
from integration.pipeline.accept import Intake
from integration.pipeline.keeper import AskedVersions, Keeper
from integration.pipeline.verification import Certificates, Verifier
from integration.store.engine import Store
from integration.store.group_commit import blocking_runner
from integration.web import problems
from integration.web.health import health_blueprint
from integration.web.receive import receive_blueprint

CONFIGURATION_LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


def _configuration(settings: Settings, store: Store, clock: Clock) -> tuple[Sources, Callable[[], NoReturn]]:
    """The live configuration, and what keeps it so: for a thread, as it never returns.

    Compiling runs in a native thread: the event loop goes on meanwhile.
    """
    versions = AskedVersions()
    sources = Sources(
        settings.mappings_dir, shipped=shipped_mappings(), versions=versions, only_configured=True
    )
    Keeper(store, sources, versions, clock).step()

    def keep() -> NoReturn:
        keeper = Keeper(store, sources, versions, clock, run=blocking_runner(cooperative=False))
        while True:
            time.sleep(CONFIGURATION_LOOK_SECONDS)
            try:
                keeper.step()
            except Exception:  # what fails is said, and tried again: receiving goes on with what there is
                log.exception(
                    "Failed, and will try again", extra={"leadwire_fields": {"action": "web.error"}}
                )

    return sources, keep


def create_app(
    settings: Settings,
    sources: Sources | None = None,
    clock: Clock = now,
    certificates: Certificates | None = None,
) -> Flask:
    """One web process's application. Made after forking: it starts the thread that commits."""
    store = Store(settings.database_url)
    current, keep = _configuration(settings, store, clock) if sources is None else (sources, None)
    intake = Intake(
        store,
        current,
        clock,
        Verifier(certificates or Certificates(allow_private=settings.fetch_allow_private)),
        max_body_bytes=settings.max_body_bytes,
        rejected_keep=settings.rejected_keep,
    )
    atexit.register(intake.close)
    if keep is not None:
        threading.Thread(target=keep, name="configuration", daemon=True).start()
    app = Flask("integration.web", static_folder=None)
    # //hooks/stripe would be redirected, which senders take for a failure; and to whatever host they named.
    app.url_map.merge_slashes = False
    problems.register(app)
    app.register_blueprint(
        receive_blueprint(
            intake, clock, public_url=settings.public_url, max_body_bytes=settings.max_body_bytes
        )
    )
    app.register_blueprint(health_blueprint(store, current, metrics_token=settings.metrics_token))
    hops = settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app
