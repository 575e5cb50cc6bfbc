"""gunicorn's configuration: `gunicorn -c python:integration.web.gunicorn_conf integration.web.wsgi:app`."""

from __future__ import annotations

from typing import Any

from prometheus_client import multiprocess

from integration.logs import configure_logs
from integration.process import spare_the_collector
from integration.settings import Settings

_settings = Settings.read()

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gevent"  # chosen by measurement: docs/performance.md
worker_connections = 1000
keepalive = 60
timeout = 60
graceful_timeout = 25  # PaaS hosts kill 30 seconds after SIGTERM
max_requests = 0


def post_worker_init(_worker: Any) -> None:
    """What each process does once the application is loaded."""
    configure_logs(_settings.log_level)
    spare_the_collector()


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the live gauges of a process that ended."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
