"""What steps would add to the store, kept beside it: a plan goes on as if it had been stored. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, product

from integration.core.values import Micros, Update
from integration.lead.advance import Advanced, Known
from integration.lead.identity import SINGLE_KINDS, IdentifierKey, KnownLeads
from integration.lead.merge import FieldState, FieldStates, pending, rebuild, same
from integration.lead.record import Record, joined


@dataclass(frozen=True, slots=True)
class PlannedField:
    """A field that HubSpot would get, or (`would_send` False) would no longer get. `before` is its state now,
    `after` the one it would have.
    """

    name: str
    before: FieldState
    after: FieldState
    would_send: bool

    @property
    def cause(self) -> FieldState:
        """The state whose event and mapping line tell where the value that is sent, or was, comes from."""
        return self.after if self.would_send else self.before


@dataclass(frozen=True, slots=True)
class PlannedLead:
    """A lead of a plan: the stored ones that it would be made of (its own id first), what its events would
    ask for (None: nothing any more), and the identifiers that it would get.
    """

    members: tuple[str, ...]
    asked: dict[str, Update | None]
    identifiers: dict[str, str]

    def record(self, account: str, stored: Iterable[Record], now: Micros) -> Record:
        """Its record before the plan's events, of the stored ones of its members."""
        return reduce(partial(joined, now=now), stored, Record(account, self.members[0]))

    def fields(self, record: Record, updates: Iterable[Update]) -> tuple[PlannedField, ...]:
        """The fields of the record's next request that would be others, by what is stored of it."""
        kept = [update for update in updates if update.event_id not in self.asked]
        asked = [update for update in self.asked.values() if update is not None]
        now = record.fields
        then = rebuild(now, record.archived, [*kept, *asked])
        before, after = pending(now), pending(then)
        return tuple(
            PlannedField(name, _field(now, name), _field(then, name), would_send=name in after)
            for name in sorted({*before, *after})
            if name not in before or name not in after or not same(before[name], after[name])
        )


class Planned:
    """All that the steps of a plan found so far."""

    def __init__(self) -> None:
        self._leads = KnownLeads()
        self._asked: dict[str, dict[str, Update | None]] = {}

    def over(self, stored: Known, keys: Iterable[IdentifierKey]) -> Known:
        """What is known of these identifiers: what is stored, and what was found so far. Nothing is on its
        way to HubSpot in a plan.
        """
        found = {key: id for key in keys if (id := self._leads.by_identifier.get(key))}
        leads = KnownLeads(
            {**found, **stored.leads.by_identifier}, stored.leads.single, set(), self._leads.merged
        )
        ids = {leads.survivor(id) for id in leads.by_identifier.values()}
        single = {
            key: self._leads.single[key] for key in product(ids, SINGLE_KINDS) if key in self._leads.single
        }
        return replace(stored, leads=replace(leads, single={**leads.single, **single}))

    def add(self, known: Known, found: Advanced) -> None:
        """Keep what a step found; `known` is what it knew."""
        self._leads.by_identifier.update(found.links)
        self._leads.merged.update(found.leads.merged)
        touched = {*found.links.values(), *self._leads.merged.values()}
        self._leads.single.update(
            {key: value for key, value in found.leads.single.items() if key[0] in touched}
        )
        for id in (*found.withdrawn, *(update.event_id for _, update in found.asked)):
            before = known.before.get(id)
            if before is not None and before.asked is not None:
                self._asked_of(before.asked[0])[id] = None
        for lead_id, update in found.asked:
            self._asked_of(lead_id)[update.event_id] = update

    def leads(self) -> Iterator[PlannedLead]:
        """The leads of which events would ask for something else, or that would be one."""
        members: dict[str, list[str]] = {}
        for id in sorted({*self._asked, *self._leads.merged}):
            members.setdefault(self._leads.survivor(id), []).append(id)
        identifiers: dict[str, dict[str, str]] = {}
        for (kind, value), id in self._leads.by_identifier.items():
            identifiers.setdefault(self._leads.survivor(id), {})[kind] = value
        for survivor, ids in sorted(members.items()):
            said = list(chain.from_iterable(self._asked.get(id, {}).items() for id in ids))
            asked = dict(sorted(said, key=lambda item: item[1] is not None))  # who moved within it asks still
            together = (survivor, *(id for id in ids if id != survivor))
            yield PlannedLead(together, asked, identifiers.get(survivor, {}))

    def _asked_of(self, lead_id: str) -> dict[str, Update | None]:
        return self._asked.setdefault(self._leads.survivor(lead_id), {})


def _field(fields: FieldStates, name: str) -> FieldState:
    return fields.get(name, FieldState())
