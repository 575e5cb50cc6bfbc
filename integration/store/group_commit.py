"""Group commit: what arrives together is committed together, and each waits for its own commit only.

One writer per process takes whatever is queued, writes it in one transaction, and wakes those who wait.
While it commits, the next group gathers. So the number of fsyncs falls as the load rises.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from integration.errors import LeadwireError, StoreUnavailableError
from integration.store.engine import Store

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_GROUP = 500
WAIT_SECONDS = 20.0


class _Waiting(Generic[Item, Result]):
    """One submitted item, and the lock that its submitter waits on."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()


class GroupCommit(Generic[Item, Result]):
    """Runs `write(connection, items) -> results` for many submitters, one transaction per group.

    Under gevent the transaction runs in a native thread, so that the event loop goes on while the disk syncs.
    """

    def __init__(
        self,
        store: Store,
        write: Callable[[Connection, Sequence[Item]], Sequence[Result]],
        *,
        name: str = "group-commit",
    ) -> None:
        self._store = store
        self._write = write
        self._run_blocking = blocking_runner()
        self._queue: list[_Waiting[Item, Result]] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item, timeout: float = WAIT_SECONDS) -> Result:
        """Returns once `item` is committed. Raises StoreUnavailableError if it could not be within `timeout`
        seconds (it may then still be committed later: senders retry, and duplicates have one effect).
        """
        waiting: _Waiting[Item, Result] = _Waiting(item)
        self._queue.append(waiting)
        self._wake.set()
        if not waiting.done.acquire(timeout=timeout):
            raise StoreUnavailableError(f"The store did not commit within {timeout:g} seconds.")
        if waiting.error is not None:
            raise waiting.error
        return waiting.result  # type: ignore[return-value]  # set whenever error is not

    def close(self) -> None:
        """Commit what is queued, then end the writer."""
        self._stopping = True
        self._wake.set()
        self._thread.join(WAIT_SECONDS)

    def _loop(self) -> None:
        while not (self._stopping and not self._queue):
            self._wake.wait()
            self._wake.clear()
            while group := self._gather():
                self._run_blocking(lambda group=group: self._commit(group))  # type: ignore[misc]
                for waiting in group:
                    waiting.done.release()

    def _gather(self) -> list[_Waiting[Item, Result]]:
        """Take the queue once it has stopped growing: those about to submit get in first."""
        seen = 0
        while seen < len(self._queue) < MAX_GROUP:
            seen = len(self._queue)
            time.sleep(0)
        group = self._queue[:MAX_GROUP]
        del self._queue[: len(group)]
        return group

    def _commit(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        """Commit the group; if something in it cannot be stored, halve it until that stands alone."""
        try:
            with self._store.write() as connection:
                results = self._write(connection, [waiting.item for waiting in group])
        except LeadwireError as error:
            _fail(group, error)
        except (DBAPIError, ValueError) as error:
            self._commit_halves(group, error)
        except Exception as error:  # noqa: BLE001 - whatever happens, nobody may be left waiting
            _fail(group, error)
        else:
            for waiting, result in zip(group, results, strict=True):
                waiting.result = result

    def _commit_halves(self, group: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
        if len(group) == 1:
            _fail(group, error)
            return
        middle = len(group) // 2
        self._commit(group[:middle])
        self._commit(group[middle:])


def _fail(group: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for waiting in group:
        waiting.error = error


def blocking_runner() -> Callable[[Callable[[], None]], None]:
    """What runs a function that blocks: in a native thread where gevent is in charge, else on the spot."""
    # Asking sys.modules keeps gevent out of the memory of processes that do not run under it.
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return _run_here
    threadpool = importlib.import_module("gevent.threadpool")
    return threadpool.ThreadPool(1).apply  # type: ignore[no-any-return]


def _run_here(function: Callable[[], None]) -> None:
    function()
