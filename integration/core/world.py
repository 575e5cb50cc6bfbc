"""The world that the package lives in: time, waiting, threads, locks, chance, and calls out of the process.

All of it is asked for here and nowhere else (`tests/unit/test_architecture.py`). So a simulator can put a
world of its own in place of the machine's, and run the same code under its clock, its order and its seed.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import importlib
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from integration.core.values import Micros

Params = ParamSpec("Params")
Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)  # noqa: PLC0105 - what a future gives; the name says enough

_CHANCE_BYTES = 7  # as many as a float from 0 to 1 can tell apart, and 3 bits more


class Event(Protocol):
    """As `threading.Event`."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class Lock(Protocol):
    """As `threading.Lock`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...  # noqa: FBT001, FBT002
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None, /
    ) -> None: ...


class Thread(Protocol):
    """As `threading.Thread`."""

    def start(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...


class Future(Protocol[Given]):
    """As `concurrent.futures.Future`."""

    def result(self, timeout: float | None = None) -> Given: ...
    def add_done_callback(self, fn: Callable[[Any], object], /) -> None: ...


class Pool(Protocol):
    """As `concurrent.futures.Executor`."""

    def submit(
        self, fn: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Future[Result]: ...
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...  # noqa: FBT001, FBT002


class Runner(Protocol):
    """Runs a function that blocks, and returns what it returns."""

    def __call__(self, function: Callable[[], Result], /) -> Result: ...


class World(ABC):
    """All that is not the same each time a program runs. What a world made stays in that world."""

    @abstractmethod
    def now(self) -> Micros:
        """The present, in microseconds since 1970-01-01T00:00:00Z. May be set back."""

    @abstractmethod
    def elapsed(self) -> float:
        """Seconds since some moment: a clock that never goes back, for spans of time."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Wait for so long; with 0, let others have their turn."""

    @abstractmethod
    def event(self) -> Event:
        """What some wait for and others set."""

    @abstractmethod
    def lock(self) -> Lock:
        """A lock between threads of this process."""

    @abstractmethod
    def file_lock(self, path: str) -> AbstractContextManager[None]:
        """A lock between processes of this machine, held within the block. Raises OSError."""

    @abstractmethod
    def thread(self, run: Callable[[], object], *, name: str, daemon: bool = False) -> Thread:
        """A thread that runs `run` once it is started. The process ends without waiting for a `daemon`."""

    @abstractmethod
    def pool(self, size: int, *, name: str) -> Pool:
        """Up to `size` threads that do what is submitted."""

    @abstractmethod
    def blocking_runner(self, *, cooperative: bool) -> Runner:
        """What runs a function that blocks without keeping the event loop waiting, where there is one.

        `cooperative` tells that the function itself gives way to others, as psycopg's sockets do under
        gevent; SQLite's calls do not.
        """

    @abstractmethod
    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody can foretell."""

    def chance(self) -> float:
        """A number from 0 up to 1, all as likely."""
        return (int.from_bytes(self.random_bytes(_CHANCE_BYTES)) >> 3) / (1 << 53)

    @abstractmethod
    def process_name(self) -> str:
        """A name for this process that no other process has at this time, on any machine."""

    @abstractmethod
    def outside(
        self, call: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """What comes of a call that leaves this process, such as an HTTP request."""


class Machine(World):
    """The real world. It looks up each function when it is used: gevent replaces many of them later."""

    def now(self) -> Micros:
        return time.time_ns() // 1000

    def elapsed(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def event(self) -> Event:
        return threading.Event()

    def lock(self) -> Lock:
        return threading.Lock()

    @contextmanager
    def file_lock(self, path: str) -> Iterator[None]:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def thread(self, run: Callable[[], object], *, name: str, daemon: bool = False) -> Thread:
        return threading.Thread(target=run, name=name, daemon=daemon)

    def pool(self, size: int, *, name: str) -> Pool:
        return concurrent.futures.ThreadPoolExecutor(size, thread_name_prefix=name)

    def blocking_runner(self, *, cooperative: bool) -> Runner:
        # Asking sys.modules keeps gevent out of the memory of processes that do not run under it.
        monkey = sys.modules.get("gevent.monkey")
        if cooperative or monkey is None or not monkey.is_module_patched("threading"):
            return run_here
        return importlib.import_module("gevent.threadpool").ThreadPool(1).apply  # type: ignore[no-any-return]

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def process_name(self) -> str:
        return f"{os.uname().nodename}-{os.getpid()}"

    def outside(
        self, call: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        return call(*args, **kwargs)


def run_here(function: Callable[[], Result], /) -> Result:
    """A runner that runs it on the spot."""
    return function()


_worlds: list[World] = [Machine()]  # the last one counts


def world() -> World:
    """The world of this process: the machine, unless a simulator says otherwise."""
    return _worlds[-1]


@contextmanager
def within(other: World) -> Iterator[None]:
    """Let the whole process live in another world within the block. For simulators."""
    _worlds.append(other)
    try:
        yield
    finally:
        _worlds.remove(other)
