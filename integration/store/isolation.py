"""Isolation: what cannot be stored costs itself, and not those that share its transaction.

A transaction for many that fails for a reason that lies in one of them is run again in halves, until that one
stands alone and is set aside with the cause. An outage is nobody's in particular, and is waited out.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import Cause
from integration.store.engine import StoreConflictError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

CONFLICT_TRIES = 5
# https://www.postgresql.org/docs/current/errcodes-appendix.html: cardinality, data exception, integrity
# constraint, triggered data change, WITH CHECK OPTION, program limit (the size of an index entry among them),
# and what a trigger raises. All other classes are about the server, its rights, or its schema.
_CLASSES_OF_DATA = ("21", "22", "23", "27", "44", "54", "P0")


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Result]):
    """Items that were stored together, and what their transaction returned."""

    items: Sequence[Item]
    result: Result


@dataclass(frozen=True, slots=True)
class Culprit(Generic[Item]):
    """An item that cannot be stored, and why."""

    item: Item
    error: Exception


def isolated(
    items: Sequence[Item],
    transaction: Callable[[Sequence[Item]], Result],
    *,
    failed_with: Exception | None = None,
) -> Iterator[Done[Item, Result] | Culprit[Item]]:
    """Run `transaction` for all items; where it fails for one of them, for halves, down to that one.

    Each call of `transaction` is a transaction of its own. What comes out is in the order of the items.
    `failed_with`: all items together were tried already, and that is how it failed. Raises what is nobody's
    in particular, an outage above all: the items that have not come out by then are not stored.
    """
    waiting = [items] if items else []
    error = failed_with
    while waiting:
        part = waiting.pop()
        outcome = _tried(part, transaction) if error is None else error
        error = None
        if not isinstance(outcome, Exception):
            yield outcome
        elif not lies_in_data(outcome):
            raise outcome
        elif len(part) == 1:
            yield Culprit(part[0], outcome)
        else:
            middle = (len(part) + 1) // 2
            waiting += [part[middle:], part[:middle]]


def _tried(
    part: Sequence[Item], transaction: Callable[[Sequence[Item]], Result]
) -> Done[Item, Result] | Exception:
    for number in range(CONFLICT_TRIES):
        try:
            return Done(part, transaction(part))
        except StoreConflictError as error:  # nothing is wrong with these: two transactions met
            if number + 1 == CONFLICT_TRIES:
                return error
        except Exception as error:  # noqa: BLE001 - judged by the caller
            return error
    raise AssertionError("the last try returns")


def stored_or_set_aside(
    items: Sequence[Item],
    transaction: Callable[[Sequence[Item]], Result],
    set_aside: Callable[[Item, Cause], Item],
) -> Iterator[Done[Item, Result]]:
    """`isolated`, and each culprit is stored as `set_aside` makes it: as a dead letter with the cause.

    One that cannot be stored even so is told in the log, and stays as it was: it is tried again later, alone.
    """
    culprits: list[Item] = []
    for part in isolated(items, transaction):
        if isinstance(part, Done):
            yield part
        else:
            culprits.append(set_aside(part.item, cause_of(part.error)))
    for part in isolated(culprits, transaction):
        if isinstance(part, Done):
            yield part
        else:
            report_stuck(part)


def one_by_one(items: Iterable[Item], action: Callable[[Item], None]) -> int:
    """Do `action` for each item; one that fails by its own data is told in the log, and passed over.

    Returns how many were passed over.
    """
    stuck = 0
    for item in items:
        for part in isolated([item], lambda alone: action(alone[0])):
            if isinstance(part, Culprit):
                report_stuck(part)
                stuck += 1
    return stuck


def report_stuck(culprit: Culprit[Any]) -> None:
    """Tell that something can neither be done nor be set aside for now."""
    cause = cause_of(culprit.error)
    log_action(
        log, "store.stuck", f"Something is left undone, and tried again later: {cause.detail}", logging.ERROR,
        cause=cause.code, cure=cause.cure, item=type(culprit.item).__name__,
    )  # fmt: skip


def lies_in_data(error: Exception) -> bool:
    """Whether this can be one item's fault: what the database refuses, or an unexpected error in the code
    that works on it; not an outage, nor what the server, its rights or its schema are to blame for.
    """
    if isinstance(error, DBAPIError):
        state = _sqlstate(error)
        return state.startswith(_CLASSES_OF_DATA) if state else not isinstance(error, OperationalError)
    return not isinstance(error, LeadwireError | MemoryError)


def cause_of(error: Exception) -> Cause:
    """Why an item is set aside, without any value of it."""
    if isinstance(error, DBAPIError):
        return Cause(
            "store_refused",
            f"the database refuses to store it: {_in_words(error)}",
            "see what is unusual in it (`leadwire events show`), correct the mapping, then retry it; "
            "if it looks all right, tell the developers the words above",
        )
    return Cause(
        "unexpected_error",
        f"the program failed on it: {type(error).__name__} at {_place(error)}",
        "tell the developers the words above; once a corrected version runs, retry it",
    )


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _in_words(error: DBAPIError) -> str:
    """The class of the error: `program limit exceeded (54000)`, `integrity error (SQLITE_CONSTRAINT)`."""
    name = type(error.orig or error).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    code = _sqlstate(error) or getattr(error.orig, "sqlite_errorname", "")
    return f"{words} ({code})" if code else words


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
