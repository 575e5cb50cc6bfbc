"""The world: the machine unless a simulator says otherwise, and then all of it at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from integration.core.clock import elapsed, new_id, now
from integration.core.world import Machine, within, world
from tests.engine import START
from tests.simulated import SimulatedWorld


def test_time_ids_and_chance_come_from_the_world_that_one_is_in() -> None:
    with within(SimulatedWorld(1, START)):
        first = now(), elapsed(), new_id(START), world().chance()
    with within(SimulatedWorld(1, START)):
        again = now(), elapsed(), new_id(START), world().chance()

    assert first == again
    assert first[:2] == (START, START / 1_000_000)
    assert now() > START
    assert new_id(START) != first[2]


def test_after_a_simulation_the_machine_is_back_even_if_it_failed() -> None:
    with pytest.raises(ZeroDivisionError), within(SimulatedWorld(1, START)):
        _ = 1 / 0

    assert isinstance(world(), Machine)


def test_the_machine_has_threads_locks_and_pools() -> None:
    here, seen = Machine(), []
    done = here.event()

    def run() -> None:
        seen.append(threading.current_thread().name)
        done.set()

    thread = here.thread(run, name="one", daemon=True)
    thread.start()
    assert done.wait(10)
    thread.join()
    pool = here.pool(1, name="some")
    assert pool.submit(pow, 2, 5).result() == 32
    seen.append(pool.submit(lambda: threading.current_thread().name).result())
    pool.shutdown()
    lock = here.lock()
    with lock:
        assert not lock.acquire(timeout=0)

    assert seen == ["one", "some_0"]


def test_a_lock_of_a_file_is_between_processes(tmp_path: Path) -> None:
    here, path = Machine(), f"{tmp_path}/lock"
    order = []

    def run() -> None:
        with here.file_lock(path):  # each opens the file for itself, as processes do
            order.append("second")

    thread = here.thread(run, name="second")
    with here.file_lock(path):
        thread.start()
        order.append("first")
    thread.join()

    assert order == ["first", "second"]
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"


def test_chance_is_from_0_up_to_1_even_at_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Machine()
    for byte, least, most in ((b"\x00", 0.0, 0.0), (b"\xff", 0.999999, 0.9999999999999999)):
        monkeypatch.setattr(here, "random_bytes", lambda count, byte=byte: byte * count)
        assert least <= here.chance() <= most


def test_a_call_out_of_the_process_may_be_answered_by_the_world() -> None:
    class Answering(SimulatedWorld):
        def outside(self, _call: object, /, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            return args, kwargs

    assert Machine().outside(pow, 2, exp=5) == 32
    assert Answering(1, START).outside(pow, 2, exp=5) == ((2,), {"exp": 5})


def test_processes_have_names_of_their_own() -> None:
    host, _, process = Machine().process_name().rpartition("-")

    assert (host, process) == (os.uname().nodename, str(os.getpid()))
