"""Keeps programs running as child processes, and ends them well: web and worker on one machine."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from integration.core.durations import PROCESS_RESTART
from integration.core.logs import log_action

log = logging.getLogger(__name__)

GRACE_SECONDS = 28.0  # PaaS hosts kill everything 30 seconds after SIGTERM
STEADY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program that must keep running: its name in the log, and its command line."""

    name: str
    command: tuple[str, ...]


class Supervisor:
    """Runs programs until `stop` is called. One that ends before that is started again, after a pause."""

    def __init__(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        self._programs = programs
        self._environment = environment
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start the programs and keep them running; returns when all have ended after `stop`."""
        threads = [threading.Thread(target=self._keep, args=(program,)) for program in self._programs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Tell the programs to end (SIGTERM), and kill those that have not after GRACE_SECONDS."""
        with self._lock:
            self._stopping.set()
            for process in self._running.values():
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for name, process in self._running.items():
            _end(name, process, deadline)

    def stopped(self, seconds: float) -> bool:
        """Wait for so long; returns whether everything is to stop."""
        return self._stopping.wait(seconds)

    def _keep(self, program: Program) -> None:
        ends = 0
        while (process := self._start(program)) is not None:
            started = time.monotonic()
            status = process.wait()
            if self._stopping.is_set():
                return
            ends = ends_in_a_row(ends, time.monotonic() - started)
            pause = PROCESS_RESTART.seconds(ends - 1)
            log_action(
                log, "process.ended", f"The {program.name} process ended; it starts again in {pause:g} s",
                logging.ERROR, process=program.name, status=status,
            )  # fmt: skip
            self._stopping.wait(pause)

    def _start(self, program: Program) -> subprocess.Popen[bytes] | None:
        """The started program, or None once everything is to stop."""
        with self._lock:
            if self._stopping.is_set():
                return None
            # A process group of its own: Ctrl-C in a terminal must reach us alone, we then say SIGTERM.
            process = subprocess.Popen(program.command, env=self._environment, process_group=0)  # noqa: S603
            self._running[program.name] = process
        log_action(log, "process.started", f"Started {program.name}", process=program.name, pid=process.pid)
        return process


def ends_in_a_row(before: int, ran: float) -> int:
    """How often a program has now ended without a steady run between; it ran for `ran` seconds."""
    return 1 if ran >= STEADY_SECONDS else before + 1


@contextmanager
def on_termination(stop: Callable[[], object]) -> Iterator[None]:
    """Within the block, the first SIGTERM, SIGINT or SIGHUP calls `stop`; for the main thread only.

    `stop` runs in a thread of its own: a signal handler interrupts the main thread anywhere, also where
    it holds the very locks that `stop` needs. `SimpleQueue.put` is safe there
    (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
    """
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait_and_stop() -> None:
        if signals.get():
            stop()

    before = {
        number: signal.signal(number, lambda number, _frame: signals.put(number))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    waiter = threading.Thread(target=wait_and_stop, name="termination")
    waiter.start()
    try:
        yield
    finally:
        signals.put(0)
        waiter.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(name: str, process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        log_action(
            log, "process.killed", f"The {name} process did not end in {GRACE_SECONDS:g} s; killed it",
            logging.ERROR, process=name,
        )  # fmt: skip
        process.kill()
