"""Child processes: kept running, told to end, and never left behind."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration import supervise
from integration.core.backoff import Backoff
from integration.core.durations import PROCESS_RESTART
from integration.supervise import Program, Supervisor, ends_in_a_row, on_termination


def program(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-c", code))


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def started(supervisor: Supervisor) -> threading.Thread:
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    return thread


NOTE_AND_WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open(os.environ['NOTES'], 'a').write('ended '), sys.exit(0)))
open(os.environ['NOTES'], 'a').write('started ')
time.sleep(60)
"""


def test_stop_ends_every_program_by_sigterm(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    supervisor = Supervisor(
        [program("one", NOTE_AND_WAIT), program("two", NOTE_AND_WAIT)], {**os.environ, "NOTES": str(notes)}
    )
    thread = started(supervisor)
    wait_for(lambda: notes.read_text().count("started") == 2)
    supervisor.stop()
    thread.join()
    assert notes.read_text().count("ended") == 2


def test_a_program_that_ends_is_started_again_after_a_pause_that_the_log_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervise, "PROCESS_RESTART", Backoff(0.01, 0.01))
    notes = tmp_path / "notes"
    notes.touch()
    code = "import os; open(os.environ['NOTES'], 'a').write('ran '); raise SystemExit(3)"
    supervisor = Supervisor([program("worker", code)], {**os.environ, "NOTES": str(notes)})
    with caplog.at_level(logging.ERROR):
        thread = started(supervisor)
        wait_for(lambda: notes.read_text().count("ran") >= 2)
        supervisor.stop()
        thread.join()
    record = caplog.records[0]
    assert record.getMessage() == "The worker process ended; it starts again in 0.01 s"
    assert record.leadwire_fields == {"action": "process.ended", "process": "worker", "status": 3}  # type: ignore[attr-defined]


def test_a_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    supervisor = Supervisor([program("deaf", deaf)], os.environ)
    thread = started(supervisor)
    wait_for(lambda: supervisor._running)
    supervisor.stop()
    thread.join()
    assert supervisor._running["deaf"].returncode in (-signal.SIGKILL, -signal.SIGTERM)


def test_nothing_starts_after_stop() -> None:
    supervisor = Supervisor([program("late", "raise SystemExit(1)")], os.environ)
    supervisor.stop()
    supervisor.run()
    assert supervisor._running == {}


@pytest.mark.parametrize(
    ("before", "ran", "pause"),
    [
        pytest.param(0, 0.1, 1, id="the first end"),
        pytest.param(1, 0.1, 2, id="again, soon after"),
        pytest.param(16, 59, 30, id="never longer than half a minute"),
        pytest.param(30, 61, 1, id="short again after a steady run"),
    ],
)
def test_the_pause_grows_while_a_program_keeps_ending(before: int, ran: float, pause: float) -> None:
    assert PROCESS_RESTART.seconds(ends_in_a_row(before, ran) - 1) == pause


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_calls_stop_outside_the_main_thread(number: signal.Signals) -> None:
    called: list[threading.Thread] = []
    with on_termination(lambda: called.append(threading.current_thread())):
        os.kill(os.getpid(), number)
        wait_for(lambda: called)
    assert called[0] is not threading.main_thread()


def test_without_a_signal_stop_is_not_called_and_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    called: list[str] = []
    with on_termination(lambda: called.append("stop")):
        pass
    assert called == []
    assert signal.getsignal(signal.SIGTERM) is before
