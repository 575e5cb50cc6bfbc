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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from integration.core.errors import LeadwireError
from integration.core.settings import SETTINGS
from integration.http.client import Answer, Bounds, Client, NoAnswer
from integration.store.backlog import read_backlog
from integration.store.engine import Store

BUNDLE_WINDOW_SECONDS = "0.5"
TOTAL_SECONDS = 60.0
STOP_SECONDS = 10.0
TAIL_LINES = 30
_LOOK_SECONDS = 0.02
_BOUNDS = Bounds(10.0, 16 * 1024 * 1024)


class DemoError(LeadwireError):
    """The demo cannot go on; the message says why and shows the end of the log."""


@dataclass(frozen=True, slots=True)
class System:
    """The running processes: where they listen, what they log, and until when they may run (monotonic)."""

    web_url: str
    hubspot_url: str
    store: Store
    log: Path
    processes: tuple[subprocess.Popen[bytes], ...]
    deadline: float
    client: Client = field(default_factory=Client, repr=False)

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """The answer of one of the processes. Raises DemoError if there is none."""
        answer = self.client.request(method, url, _BOUNDS, headers=headers, body=body)
        if isinstance(answer, NoAnswer):
            raise self.failure(f"{url} did not answer: {answer.words}")
        return answer

    def answers(self, url: str) -> bool:
        """Whether it answers, and with success."""
        answer = self.client.request("GET", url, _BOUNDS)
        return isinstance(answer, Answer) and answer.is_success

    def settle(self) -> None:
        """Return when everything that came in is translated and delivered. Raises DemoError if it is not."""
        self.wait_until(self._is_quiet, "what came in was not delivered")

    def wait_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Return when `condition` holds; raises DemoError with `otherwise` when that cannot be any more."""
        while not condition():
            if time.monotonic() > self.deadline:
                raise self.failure(f"{otherwise}, and {TOTAL_SECONDS:g} s are over")
            if any(process.poll() is not None for process in self.processes):
                raise self.failure(f"{otherwise}, and a process has ended")
            time.sleep(_LOOK_SECONDS)

    def failure(self, what: str) -> DemoError:
        """The error that says what went wrong and shows the end of what the processes logged."""
        return DemoError(f"{what}. The end of the log:\n{self._log_tail()}")

    def _log_tail(self) -> str:
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
        commands = (["sandbox", "--port", hubspot_url.rpartition(":")[2]], ["serve", "--port", port])
        processes = tuple(
            stack.enter_context(_process(command, environment, output.fileno())) for command in commands
        )
        store = Store(environment["DATABASE_URL"])
        stack.callback(store.dispose)
        deadline = time.monotonic() + TOTAL_SECONDS
        system = System(f"http://127.0.0.1:{port}", hubspot_url, store, log, processes, deadline)
        for url in (f"{hubspot_url}/_sandbox/stats", f"{system.web_url}/readyz"):
            system.wait_until(partial(system.answers, url), f"{url} did not answer")
        yield system


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], output: int
) -> Iterator[subprocess.Popen[bytes]]:
    # A process group of its own: Ctrl-C in a terminal must reach this process alone; it then ends the others.
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, "-m", "integration", *command], env=environment, stdout=output, stderr=output,
        process_group=0,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
