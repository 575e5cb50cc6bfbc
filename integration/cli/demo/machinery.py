"""The demo's processes: sandbox, web and worker, on free ports, over a temporary database."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from integration.errors import LeadwireError
from integration.settings import SETTINGS
from integration.store.backlog import read_backlog
from integration.store.engine import Store

BUNDLE_WINDOW_SECONDS = "0.5"
START_SECONDS = 30.0
SETTLE_SECONDS = 20.0
STOP_SECONDS = 10.0
REQUEST_SECONDS = 10.0
TAIL_LINES = 30
_LOOK_SECONDS = 0.02


class DemoError(LeadwireError):
    """The demo cannot go on; the message says why and shows the end of the log."""


@dataclass(frozen=True, slots=True)
class System:
    """The running processes: where they listen, and what they log."""

    web_url: str
    hubspot_url: str
    store: Store
    log: Path

    def settle(self) -> None:
        """Return when everything that came in is translated and delivered. Raises DemoError if it is not."""
        self.wait_until(self._is_quiet, SETTLE_SECONDS, "what came in was not delivered")

    def wait_until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Return when `condition` holds; raises DemoError with `otherwise` if it takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"{otherwise} within {seconds:g} s. The end of the log:\n{self.log_tail()}")
            time.sleep(_LOOK_SECONDS)

    def log_tail(self) -> str:
        """The end of what the processes logged."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def _is_quiet(self) -> bool:
        with self.store.read() as connection:
            backlog = read_backlog(connection)
        return not backlog.events_received and not backlog.leads_waiting


def demo_environment(directory: Path, web_port: int, hubspot_port: int) -> dict[str, str]:
    """The environment of the demo's processes: this one's, but with the demo's settings."""
    ours = {name for setting in SETTINGS for name in (setting.name, f"{setting.name}_FILE")}
    dropped = ours - {"MAPPINGS_DIR"} | {"PROMETHEUS_MULTIPROC_DIR"}
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        "DATABASE_URL": f"sqlite:///{directory / 'demo.db'}",
        "HUBSPOT_BASE_URL": f"http://127.0.0.1:{hubspot_port}",
        "HUBSPOT_ACCESS_TOKEN": secrets.token_urlsafe(24),
        "BUNDLE_WINDOW": BUNDLE_WINDOW_SECONDS,
        "PORT": str(web_port),
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [found.getsockname()[1] for found in sockets]


@contextmanager
def running_system(directory: Path, environment: Mapping[str, str]) -> Iterator[System]:
    """Start sandbox, web and worker; they are ready when the block begins, and gone when it has ended."""
    port, hubspot_url = environment["PORT"], environment["HUBSPOT_BASE_URL"]
    log = directory / "demo.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        hubspot_port = hubspot_url.rpartition(":")[2]
        for command in (["sandbox", "--port", hubspot_port], ["serve", "--port", port]):
            stack.enter_context(_process(command, environment, output.fileno()))
        store = Store(environment["DATABASE_URL"])
        stack.callback(store.dispose)
        system = System(f"http://127.0.0.1:{port}", hubspot_url, store, log)
        for url in (f"{hubspot_url}/_sandbox/stats", f"{system.web_url}/readyz"):
            system.wait_until(lambda url=url: _answers(url), START_SECONDS, f"{url} did not answer")  # type: ignore[misc]
        yield system


@contextmanager
def _process(command: list[str], environment: Mapping[str, str], output: int) -> Iterator[None]:
    # A process group of its own: Ctrl-C in a terminal must reach this process alone; it then ends the others.
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, "-m", "integration", *command], env=environment, stdout=output, stderr=output,
        process_group=0,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=REQUEST_SECONDS).ok
    except requests.RequestException:
        return False
