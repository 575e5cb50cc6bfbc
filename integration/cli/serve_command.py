"""`leadwire serve` and `leadwire db`."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from integration.core.errors import LeadwireError, SettingError, StoreUnavailableError
from integration.core.logs import configure_logs, log_action
from integration.core.settings import Settings
from integration.core.world import world
from integration.store.engine import Store, StoreRefusedError, parse_url
from integration.store.patience import patiently
from integration.store.schema import said_of
from integration.store.upgrade import upgrade
from integration.supervise import Program, Supervisor, on_termination

log = logging.getLogger(__name__)

UPGRADE_WAIT_SECONDS = 60.0
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
WEB = Program(
    "web",
    (sys.executable, "-m", "gunicorn", "-c", "python:integration.web.gunicorn_conf",
     "integration.web.wsgi:app"),
)  # fmt: skip
WORKER = Program("worker", (sys.executable, "-m", "integration", "worker"))


class PortTakenError(LeadwireError):
    """Another program listens on the port."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on, instead of PORT.")
def serve(port: int | None) -> None:
    """Run web and worker together on this machine.

    Brings the database's schema up to date first; without a database, web answers 503 until there is one.
    SIGTERM or Ctrl-C ends both after what is in hand.
    """
    environment = {**os.environ} if port is None else {**os.environ, "PORT": str(port)}
    settings = Settings.read(environment)
    configure_logs(settings.log_level)
    _require_free(settings.port)
    store = Store(settings.database_url)
    with _metrics_directory(settings, environment) as directory:
        supervisor = Supervisor((WEB, WORKER), {**environment, METRICS_VARIABLE: directory})
        with on_termination(supervisor.stop), _upgraded(store, supervisor):
            supervisor.run()


@contextmanager
def _upgraded(store: Store, supervisor: Supervisor) -> Iterator[None]:
    """The schema is up to date within the block; where there is no database yet, as soon as there is one."""
    try:
        log_action(log, "schema.checked", _upgrade(store))
    except StoreRefusedError:
        raise
    except StoreUnavailableError:
        threads = world().pool(1, name="upgrade")
        upgrading = threads.submit(_upgrade_later, store, supervisor)
        try:
            yield
        finally:
            threads.shutdown()
        upgrading.result()
    else:
        yield


def _upgrade_later(store: Store, supervisor: Supervisor) -> None:
    try:
        if said := patiently(lambda: _upgrade(store), supervisor.stopped):
            log_action(log, "schema.checked", said)
    except LeadwireError:
        supervisor.stop()
        raise


@click.group()
def db() -> None:
    """Look after the database: `db upgrade` brings its schema up to date."""


@db.command(name="upgrade")
def db_upgrade() -> None:
    """Bring the schema up to date. Waits up to a minute for the database.

    Safe to run at any time, from several machines at once, and while older processes still work. A database
    that is newer than this program, as after a rollback, stays as it is.
    """
    store = Store(Settings.read().database_url)
    click.echo(patiently(lambda: _upgrade(store), world().event().wait, seconds=UPGRADE_WAIT_SECONDS))


def _upgrade(store: Store) -> str:
    """Returns what came of it, in a sentence."""
    try:
        newer = upgrade(store)
    finally:
        store.dispose()
    if newer is None:
        return f"The database at {store.shown_as} is up to date."
    return f"The database at {store.shown_as} stays as it is: {said_of(newer)}."


def _require_free(port: int) -> None:
    """Say at once what gunicorn would only say into the log, again and again."""
    try:
        socket.create_server(("0.0.0.0", port)).close()  # noqa: S104 - where gunicorn will listen
    except OSError as error:
        message = f"cannot listen on port {port}: {error.strerror}; choose another with --port or PORT"
        raise PortTakenError(message) from error


@contextmanager
def _metrics_directory(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Where web and worker count together: as set, or a fresh directory that goes when they have ended."""
    if environment.get(METRICS_VARIABLE):
        yield environment[METRICS_VARIABLE]
        return
    url = parse_url(settings.database_url)
    parent = Path(str(url.database)).parent if url.get_backend_name() == "sqlite" else Path("var")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix="metrics-", dir=parent)
    except OSError as error:
        message = f"{METRICS_VARIABLE}: cannot make a directory in {parent}: {error.strerror}; set it"
        raise SettingError(message) from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
