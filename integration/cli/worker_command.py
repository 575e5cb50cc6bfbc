"""`leadwire worker`: in a file of its own, so that the process loads nothing that it does not use."""

from __future__ import annotations

import click

from integration.config.folders import shipped_mappings
from integration.config.sources import Sources
from integration.core.clock import now
from integration.core.logs import configure_logs
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.core.world import world
from integration.hubspot import build
from integration.lead.properties import table_of
from integration.operate.account_check import PortalWatch
from integration.pipeline.keeper import AskedVersions, Keeper
from integration.pipeline.shared_token import token_of
from integration.store.engine import Store
from integration.store.patience import patiently
from integration.store.schema import require_current
from integration.supervise import on_termination
from integration.worker import Worker


@click.command()
def worker() -> None:
    """Translate what came in and deliver what is due.

    Any number of workers may run over one database. Without a database, or a current schema in it, it waits.
    SIGTERM or Ctrl-C ends it after what is in hand.
    """
    settings = Settings.read()
    configure_logs(settings.log_level)
    store = Store(settings.database_url)
    stopping = world().event()
    stops = [stopping.set]
    with on_termination(lambda: [stop() for stop in stops]):
        running = patiently(lambda: _made(store, settings), stopping.wait)
        if running is not None:
            stops.append(running.stop)
            if not stopping.is_set():
                running.run()
    store.dispose()


def _made(store: Store, settings: Settings) -> Worker:
    require_current(store)
    token = token_of(settings, store, MAIN_ACCOUNT, now)
    versions = AskedVersions(MAIN_ACCOUNT)
    sources = Sources(
        settings.mappings_dir, shipped=shipped_mappings(), versions=versions, only_configured=True
    )
    keeper = Keeper(store, MAIN_ACCOUNT, sources, versions, now)
    keeper.step()
    portal = PortalWatch(store, MAIN_ACCOUNT, settings, sources, token, clock=now)
    destination = build(settings, token, lambda: table_of(sources.current.catalogue))
    return Worker(store, sources, destination, settings, portal=portal, keeper=keeper)
