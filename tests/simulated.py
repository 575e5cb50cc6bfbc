"""A small world of its own: virtual time, one seed, and threads of which one runs at a time.

Who waits gives way here, and nowhere else; who goes on next is drawn by the seed. When all wait, the time
moves to the first moment that one of them waits for. So a day passes as fast as its work can be done, and the
same seed gives the same day.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

from integration.core.values import MICROS_PER_SECOND, Micros
from integration.core.world import Runner, World, run_here, within

Params = ParamSpec("Params")
Result = TypeVar("Result")


class HangError(Exception):
    """All wait for something that nobody will do."""


@dataclass(eq=False, slots=True)
class Task:
    """What runs by itself: it goes on once it is `ready`, or at its `deadline`."""

    name: str
    run: greenlet
    ready: Callable[[], bool]
    deadline: Micros | None = None
    done: bool = False

    def may_go_on(self, now: Micros) -> bool:
        return (self.deadline is not None and self.deadline <= now) or self.ready()


class SimulatedWorld(World):
    """`history` is who went on when. What a thread fails with fails the whole."""

    def __init__(self, seed: int, start: Micros) -> None:
        self._chance = random.Random(seed)
        self._now = start
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._hub = getcurrent()
        self._files: dict[str, SimulatedLock] = {}
        self.history: list[tuple[Micros, str]] = []

    def run(self, story: Callable[[], Result]) -> Result:
        """Live through a story; what still runs at its end is forgotten."""
        found: list[Result] = []
        with within(self):
            last = self.begin("story", lambda: found.append(story()))
            while not last.done:
                self._let_one_go_on()
        return found[0]

    def begin(self, name: str, run: Callable[[], object]) -> Task:
        task = Task(name, greenlet(run), always)
        self._tasks.append(task)
        return task

    def _let_one_go_on(self) -> None:
        able = [task for task in self._tasks if task.may_go_on(self._now)]
        if not able:
            times = [task.deadline for task in self._tasks if task.deadline is not None]
            if not times:
                raise HangError(f"all wait for ever: {[task.name for task in self._tasks]}")
            self._now = min(times)
            return
        task = self._current = self._chance.choice(able)
        self.history.append((self._now, task.name))
        self._hub = getcurrent()
        task.run.switch()
        if task.run.dead:
            task.done = True
            self._tasks.remove(task)

    def wait(self, ready: Callable[[], bool], seconds: float | None = None) -> bool:
        """Let others go on until it is ready, or so many seconds are over; returns whether it is ready."""
        task = self._current
        assert task is not None, "only what runs in this world may wait"
        task.ready = ready
        task.deadline = None if seconds is None else self._now + round(seconds * MICROS_PER_SECOND)
        self._hub.switch()
        return ready()

    def now(self) -> Micros:
        return self._now

    def elapsed(self) -> float:
        return self._now / MICROS_PER_SECOND

    def sleep(self, seconds: float) -> None:
        self.wait(never if seconds else always, seconds)

    def event(self) -> SimulatedEvent:
        return SimulatedEvent(self)

    def lock(self) -> SimulatedLock:
        return SimulatedLock(self)

    @contextmanager
    def file_lock(self, path: str) -> Iterator[None]:
        with self._files.setdefault(path, SimulatedLock(self)):
            yield

    def thread(self, run: Callable[[], object], *, name: str, daemon: bool = False) -> SimulatedThread:  # noqa: ARG002
        return SimulatedThread(self, run, name)

    def pool(self, size: int, *, name: str) -> SimulatedPool:
        return SimulatedPool(self, size, name)

    def blocking_runner(self, *, cooperative: bool) -> Runner:  # noqa: ARG002
        return run_here

    def random_bytes(self, count: int) -> bytes:
        return self._chance.randbytes(count)

    def process_name(self) -> str:
        return "simulated-1"

    def outside(
        self, call: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        self.sleep(self.chance())
        return call(*args, **kwargs)


def always() -> bool:
    return True


def never() -> bool:
    return False


@dataclass(eq=False)
class SimulatedEvent:
    world: SimulatedWorld
    _set: bool = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        return self._set or self.world.wait(self.is_set, timeout)


@dataclass(eq=False)
class SimulatedLock:
    world: SimulatedWorld
    _held: bool = False

    def _is_free(self) -> bool:
        return not self._held

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT002
        if self._held and blocking:
            self.world.wait(self._is_free, None if timeout < 0 else timeout)
        if self._held:
            return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.release()


@dataclass(eq=False)
class SimulatedThread:
    world: SimulatedWorld
    run: Callable[[], object]
    name: str
    _task: Task | None = None

    def start(self) -> None:
        self._task = self.world.begin(self.name, self.run)

    def join(self, timeout: float | None = None) -> None:
        task = self._task
        assert task is not None, "it was not started"
        self.world.wait(lambda: task.done, timeout)


@dataclass(eq=False)
class SimulatedFuture(Generic[Result]):
    world: SimulatedWorld
    call: Callable[[], Result]
    _results: list[Result] = field(default_factory=list)
    _error: Exception | None = None
    _then: list[Callable[[Any], object]] = field(default_factory=list)

    def _is_done(self) -> bool:
        return bool(self._results) or self._error is not None

    def result(self, timeout: float | None = None) -> Result:
        if not self.world.wait(self._is_done, timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._results[0]

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        if self._is_done():
            fn(self)
        else:
            self._then.append(fn)

    def work(self) -> None:
        try:
            self._results.append(self.call())
        except Exception as error:  # noqa: BLE001 - whoever asks for the result has it
            self._error = error
        for then in self._then:
            then(self)


@dataclass(eq=False)
class SimulatedPool:
    world: SimulatedWorld
    size: int
    name: str
    _queue: deque[SimulatedFuture[Any]] = field(default_factory=deque)
    _threads: list[Task] = field(default_factory=list)
    _stopped: bool = False

    def submit(
        self, fn: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> SimulatedFuture[Result]:
        future = SimulatedFuture(self.world, lambda: fn(*args, **kwargs))
        self._queue.append(future)
        if len(self._threads) < self.size:
            self._threads.append(self.world.begin(f"{self.name}_{len(self._threads)}", self._work))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT002
        self._stopped = True
        if cancel_futures:
            self._queue.clear()
        if wait:
            self.world.wait(lambda: all(thread.done for thread in self._threads))

    def _work(self) -> None:
        while True:
            self.world.wait(lambda: bool(self._queue) or self._stopped)
            if not self._queue:
                return
            self._queue.popleft().work()
