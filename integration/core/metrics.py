"""What is counted. With PROMETHEUS_MULTIPROC_DIR set, all processes of a machine count together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.core import REGISTRY

ACCEPTED = Counter("leadwire_accepted_total", "Requests accepted.", ["source"])
DUPLICATES = Counter("leadwire_duplicates_total", "Requests that were duplicates.", ["source"])
REJECTED = Counter("leadwire_rejected_total", "Requests rejected.", ["source", "reason"])
HANDSHAKES = Counter(
    "leadwire_handshakes_total",
    "Handshakes, by what became of them: answered or refused.",
    ["source", "outcome"],
)
ACCEPT_SECONDS = Histogram(
    "leadwire_accept_seconds",
    "From the request's arrival to its commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TRANSLATED = Counter("leadwire_translated_total", "Events that became updates.", ["source"])
IGNORED = Counter("leadwire_ignored_total", "Events that no rule applied to.", ["source"])
DEAD = Counter("leadwire_dead_total", "Events and bundles set aside.", ["cause"])
ALERTS = Counter(
    "leadwire_alerts_total",
    "Alerts, by what became of them: posted, failed (tried again), or logged only.",
    ["outcome"],
)
ATTEMPTS = Counter(
    "leadwire_attempts_total", "Requests to HubSpot, by HTTP status ('none': no answer).", ["status"]
)
ATTEMPT_SECONDS = Histogram("leadwire_attempt_seconds", "Duration of requests to HubSpot.")
LAG_SECONDS = Histogram(
    "leadwire_lag_seconds",
    "From the oldest change of a bundle to its delivery.",
    buckets=(0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400),
)


def render(multiprocess_dir: str | None) -> bytes:
    """All counters in Prometheus' text format, summed over the processes that share `multiprocess_dir`."""
    if not multiprocess_dir:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=multiprocess_dir)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
