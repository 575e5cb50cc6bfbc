"""The slots of HubSpot's budgets: who sends a request takes them, and they are free again a window later.

A slot is one request in one window of a rate limit. What is to be sent holds its slots before it is sent,
so that no window has more requests than the limit, whoever sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from sqlalchemy import Connection

from integration.core.clock import Clock
from integration.core.errors import LeadwireError, SettingError
from integration.core.settings import RateLimit
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.core.world import Event
from integration.hubspot import Destination
from integration.store import budget
from integration.store.budget import Slot
from integration.store.engine import Store

LONGEST_REQUEST_SECONDS = 120  # three in a row, where one call makes three
# https://developers.hubspot.com/docs/api-reference/search/guide (2026-11-23) allows five a second to an
# account; one is left to others.
SEARCH_LIMIT = RateLimit(4, 1)
LONGEST_WAIT_FOR_SLOT_SECONDS = 1.0


class StoppingError(LeadwireError):
    """The worker stops: what is not sent yet is given back."""


class Slots:
    """The budgets of an account. Raises SettingError if the rate limit leaves no room for what one call of
    the destination's can cost, and StoreUnavailableError.
    """

    def __init__(
        self, store: Store, account: str, destination: Destination, clock: Clock, rate_limit: RateLimit
    ) -> None:
        if rate_limit.requests < destination.most_cost:
            raise _too_narrow(rate_limit, destination)
        self._store = store
        self._account = account
        self._clock = clock
        self._windows = {budget.REQUESTS: rate_limit, budget.SEARCH: SEARCH_LIMIT}
        with store.write() as connection:
            for name, limit in self._windows.items():
                budget.ensure_slots(connection, account, name, limit.requests)

    def free(self, connection: Connection, name: str, now: Micros, limit: int) -> list[Slot]:
        """Up to `limit` slots of a budget that are free."""
        return budget.free_slots(connection, self._account, name, now, limit)

    def next_free_at(self, connection: Connection, name: str) -> Micros | None:
        """When a slot of a budget is free again."""
        return budget.next_free_at(connection, self._account, name)

    def take(self, connection: Connection, slots: Iterable[Slot], now: Micros) -> None:
        """Slots of requests that are about to be sent: if nobody settles them, they are free again once
        the longest request would be over.
        """
        self._occupy(connection, slots, now + LONGEST_REQUEST_SECONDS * MICROS_PER_SECOND)

    def settle(self, connection: Connection, slots: Iterable[Slot], now: Micros) -> None:
        """Slots of requests that came back now."""
        self._occupy(connection, slots, now)

    def wait_for(self, names: Sequence[str], stopping: Event) -> tuple[Slot, ...]:
        """As many slots of these budgets, taken once they are free and delivery is not paused.

        Raises StoppingError.
        """
        wanted = Counter(names)
        while not stopping.is_set():
            with self._store.write() as connection:
                now = self._clock()
                wait_until = budget.current_pause(connection, self._account).until
                found = {
                    name: self.free(connection, name, now, number)
                    for name, number in (wanted.items() if wait_until <= now else ())
                }
                if all(len(found.get(name, ())) == number for name, number in wanted.items()):
                    taken = tuple(chain.from_iterable(found.values()))
                    self.take(connection, taken, now)
                    return taken
                times = [self.next_free_at(connection, name) or now for name in names]
            seconds = (max(wait_until, *times) - now) / MICROS_PER_SECOND
            stopping.wait(min(max(seconds, 0.001), LONGEST_WAIT_FOR_SLOT_SECONDS))
        raise StoppingError

    def _occupy(self, connection: Connection, slots: Iterable[Slot], over_at: Micros) -> None:
        free_at = {
            name: over_at + int(limit.seconds * MICROS_PER_SECOND) for name, limit in self._windows.items()
        }
        budget.occupy(connection, self._account, {slot: free_at[slot[0]] for slot in slots})


def _too_narrow(limit: RateLimit, destination: Destination) -> SettingError:
    wider = RateLimit(destination.most_cost, limit.seconds / limit.requests * destination.most_cost)
    return SettingError(
        f"HUBSPOT_RATE_LIMIT: {limit} is too narrow for {destination.name}, where one update can take"
        f" {destination.most_cost} requests: write {wider}, which is the same rate over a longer time."
    )
