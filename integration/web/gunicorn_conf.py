"""gunicorn's configuration: `gunicorn -c python:integration.web.gunicorn_conf integration.web.wsgi:app`."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Any

from integration.core.logs import configure_logs
from integration.core.memory import spare_the_collector
from integration.core.settings import Settings

_settings = Settings.read()
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LONGEST_REFUSAL = 4096
_refusals = 0  # the end of a pipe
_own_directory = ""
if not os.environ.get(_METRICS_VARIABLE):
    # The processes count together only if this is set before any of them imports prometheus_client.
    _own_directory = os.environ[_METRICS_VARIABLE] = tempfile.mkdtemp(prefix="leadwire-metrics-")

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gevent"  # chosen by measurement: docs/performance.md
worker_connections = 1000
keepalive = 60
timeout = 60
graceful_timeout = 25  # PaaS hosts kill 30 seconds after SIGTERM
control_socket_disable = True  # nobody here speaks to it, and it would be a file in the home directory


def post_worker_init(_worker: Any) -> None:
    """What each process does once the application is loaded."""
    configure_logs(_settings.log_level)
    spare_the_collector()


def when_ready(_server: Any) -> None:
    """The port is bound. Look whether the store can be used at all, in a process that ends at once: what it
    loads stays out of this one, whose children answer meanwhile (with 503, as long as there is no store).
    """
    global _refusals
    _refusals, written = os.pipe()
    os.set_blocking(_refusals, False)
    if os.fork() == 0:
        try:
            _look_at_the_store(written)
        finally:
            os._exit(0)
    os.close(written)


def _look_at_the_store(written: int) -> None:
    """Where waiting cannot help, say why, and end the server."""
    store_check = importlib.import_module("integration.web.store_check")
    configure_logs(_settings.log_level)
    refusal = store_check.refusal(_settings.database_url)
    if refusal:
        os.write(written, refusal.encode())
        os.kill(os.getppid(), signal.SIGTERM)


def on_exit(_server: Any) -> None:
    """Remove the directory in which the processes counted, if it is ours; say why if the store is refused."""
    if _own_directory:
        shutil.rmtree(_own_directory, ignore_errors=True)
    with suppress(BlockingIOError):
        if _refusals and (refusal := os.read(_refusals, _LONGEST_REFUSAL).decode(errors="replace")):
            sys.stderr.write(f"leadwire: {refusal}\n")
            sys.exit(1)
