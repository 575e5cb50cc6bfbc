"""The live configuration of a web process: looked at by a thread, compiled off the event loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from integration.config.folders import shipped_mappings
from integration.config.sources import Sources
from integration.core.clock import Clock
from integration.core.settings import Settings
from integration.core.world import world
from integration.pipeline.keeper import AskedVersions, Keeper
from integration.store.engine import Store

LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


def live_sources(settings: Settings, store: Store, account: str, clock: Clock) -> Sources:
    """The sources as they are, and as they will be: starts the thread that looks at their files."""
    versions = AskedVersions(account)
    sources = Sources(
        settings.mappings_dir, shipped=shipped_mappings(), versions=versions, only_configured=True
    )
    Keeper(store, account, sources, versions, clock).step()
    in_native_thread = world().blocking_runner(cooperative=False)
    keeper = Keeper(store, account, sources, versions, clock, run=in_native_thread)
    step: Callable[[], object] = keeper.step
    if store.is_sqlite:  # whose calls would block the event loop as well
        step = partial(in_native_thread, Keeper(store, account, sources, versions, clock).step)
    world().thread(partial(_keep, step), name="configuration", daemon=True).start()
    return sources


def _keep(step: Callable[[], object]) -> NoReturn:
    while True:
        world().sleep(LOOK_SECONDS)
        try:
            step()
        except Exception:  # what fails is said, and tried again: receiving goes on with what there is
            facts = {"leadwire_fields": {"action": "web.error"}}
            log.exception("Failed, and will try again", extra=facts)
