"""The shipped configuration, with the worker class to compare."""

from __future__ import annotations

import os

from integration.web.gunicorn_conf import *  # noqa: F403

worker_class = os.environ.get("LEADWIRE_BENCH_WORKER_CLASS", "gevent")
threads = 16
