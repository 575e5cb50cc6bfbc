"""What is the case now, as gauges in Prometheus' text format: from the store, so right for all processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from integration.config.sources import Configuration
from integration.core.values import Micros
from integration.store.ages import Ages, read_ages, seconds_since
from integration.store.backlog import Backlog, read_backlog
from integration.store.budget import current_pause
from integration.store.engine import Store
from integration.store.views.waiting import Waiting, WaitsFor, count_waiting


def gauges(store: Store, configuration: Configuration, now: Micros) -> bytes:
    """What waits, for how long, and what is set aside, at `now`; and the mapping files of this process that
    are not used as they are.
    """
    with store.read() as connection:
        backlog, ages = read_backlog(connection), read_ages(connection, now)
        waiting = count_waiting(connection, paused=current_pause(connection).until > now)
    registry = CollectorRegistry()
    registry.register(_Families([*_of_store(backlog, ages, waiting, now), _mistakes(configuration)]))
    return generate_latest(registry)


class _Families(Collector):
    """Families that are made already: a `Gauge` would keep its values in PROMETHEUS_MULTIPROC_DIR, where they
    are told again after they are gone.
    """

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        return self._families


def _of_store(backlog: Backlog, ages: Ages, waiting: Iterable[Waiting], now: Micros) -> Iterator[Metric]:
    event_age, due_age = (seconds_since(since, now) for since in (ages.untranslated_since, ages.due_since))
    yield _one("oldest_event_age_seconds", "Age of the oldest untranslated event; 0: none.", event_age)
    told = "For how long the lead has been due that is due longest; 0: none."
    yield _one("oldest_due_age_seconds", told, due_age)
    yield _one("events_received", "Events waiting for translation.", backlog.events_received)
    told = "Events that wait for what is fetched for them."
    yield _many("events_fetching", told, "source", backlog.events_fetching.items())
    told = "Requests that wait until the mapping of their source is good."
    yield _many("requests_held", told, "source", ((name, held.count) for name, held in backlog.held.items()))
    yield _one("leads_waiting", "Leads with unsent changes.", backlog.leads_waiting)
    told = "Leads that are due, by what they wait for: identity, hubspot, pause, turn."
    counts = {found.what: found.count for found in waiting}
    yield _many("leads_waiting_for", told, "what", ((what.value, counts.get(what, 0)) for what in WaitsFor))
    yield _dead(backlog)


def _dead(backlog: Backlog) -> Metric:
    family = GaugeMetricFamily("leadwire_dead_letters", "Dead letters now.", labels=("kind", "cause"))
    for kind, causes in (("event", backlog.dead_events), ("lead", backlog.dead_leads)):
        for cause, count in causes.items():
            family.add_metric((kind, cause), count)
    return family


def _mistakes(configuration: Configuration) -> Metric:
    told = "1 for each mapping file (`fields`: fields.yaml) that has a mistake and is not used as it is."
    return _many("mapping_mistakes", told, "source", ((name, 1) for name in configuration.mistakes))


def _one(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"leadwire_{name}", told, value=value)


def _many(name: str, told: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"leadwire_{name}", told, labels=(label,))
    for found, value in values:
        family.add_metric((found,), value)
    return family
