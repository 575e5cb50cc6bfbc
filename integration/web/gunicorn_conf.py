"""gunicorn's configuration: `gunicorn -c python:integration.web.gunicorn_conf integration.web.wsgi:app`."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from integration.core.logs import configure_logs
from integration.core.memory import spare_the_collector
from integration.core.settings import Settings

_settings = Settings.read()
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
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


def on_exit(_server: Any) -> None:
    """Remove the directory in which the processes counted, if it is ours."""
    if _own_directory:
        shutil.rmtree(_own_directory, ignore_errors=True)
