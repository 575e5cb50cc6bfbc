"""Group commit: what arrives together is committed together, and each waits for its own commit only.

One writer per process takes whatever is queued, writes it in one transaction, and wakes those who wait.
While it commits, the next group gathers. So the number of fsyncs falls as the load rises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from integration.core.errors import StoreUnavailableError
from integration.core.world import world
from integration.store.engine import Store
from integration.store.isolation import Culprit, isolated

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
        self.done = world().lock()
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
        self._run_blocking = world().blocking_runner(cooperative=not store.is_sqlite)
        self._queue: list[_Waiting[Item, Result]] = []
        self._wake = world().event()
        self._stopping = False
        self._thread = world().thread(self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item, timeout: float = WAIT_SECONDS) -> Result:
        """Returns once `item` is committed. Raises StoreUnavailableError if it could not be within `timeout`
        seconds (it may then still be committed later: senders retry, and duplicates have one effect).
        """
        if self._stopping:
            raise _stopped()
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
        try:
            while not (self._stopping and not self._queue):
                self._wake.wait()
                self._wake.clear()
                while self._queue:
                    self._let_it_gather()
                    for waiting in self._run_blocking(self._commit_queue):
                        waiting.done.release()
        finally:  # should the writer ever die, those who wait are told, and those to come too
            self._stopping = True
            for waiting in self._queue:
                waiting.error = _stopped()
                waiting.done.release()

    def _let_it_gather(self) -> None:
        """Return once the queue has stopped growing: those about to submit get in first."""
        seen = 0
        while seen < len(self._queue) < MAX_GROUP:
            seen = len(self._queue)
            world().sleep(0)

    def _take(self) -> list[_Waiting[Item, Result]]:
        group = self._queue[:MAX_GROUP]
        del self._queue[: len(group)]
        return group

    def _commit_queue(self) -> list[_Waiting[Item, Result]]:
        """Commit what is queued; returns those who may be told, each with a result or an error.

        The group is taken late, with the right to write already in hand: on SQLite another process may
        have had it for milliseconds, in which more has come.
        """
        group: list[_Waiting[Item, Result]] = []
        try:
            with self._store.write() as connection:
                group = self._take()
                results = self._write(connection, [waiting.item for waiting in group])
        except Exception as error:  # noqa: BLE001 - whatever happens, nobody may be left waiting
            group = group or self._take()
            self._isolate(group, error)
        else:
            _succeed(group, results)
        return group

    def _isolate(self, group: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
        """What cannot be stored fails alone: see `isolated`. What is nobody's in particular fails all."""
        told = 0
        try:
            for part in isolated(group, self._commit, failed_with=error):
                if isinstance(part, Culprit):
                    part.item.error = part.error
                    told += 1
                else:
                    _succeed(part.items, part.result)
                    told += len(part.items)
        except Exception as everyones:  # noqa: BLE001 - as above
            for waiting in group[told:]:
                waiting.error = everyones

    def _commit(self, group: Sequence[_Waiting[Item, Result]]) -> Sequence[Result]:
        with self._store.write() as connection:
            return self._write(connection, [waiting.item for waiting in group])


def _stopped() -> StoreUnavailableError:
    return StoreUnavailableError("This process is stopping and stores nothing more.")


def _succeed(group: Sequence[_Waiting[Item, Result]], results: Sequence[Result]) -> None:
    for waiting, result in zip(group, results, strict=True):
        waiting.result = result
