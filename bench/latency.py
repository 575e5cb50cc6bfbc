"""Webhook in to PUT at the sandbox, unloaded, BUNDLE_WINDOW=0: one event at a time through real processes."""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from common import ROOT, STRIPE_SECRET, Gunicorn, environment, free_port, postgresql_server

from integration.sandbox import run_sandbox

GUID = "8a41f2f22906b93a012906b9438f0008"


def signed(number: int) -> tuple[bytes, dict[str, str]]:
    payload = json.loads((ROOT / "mappings/stripe/examples/invoice.paid.json").read_text())
    payload["id"] = f"evt_latency_{number}"
    payload["created"] += number
    payload["data"]["object"]["amount_paid"] = 1000 + number
    body, timestamp = json.dumps(payload).encode(), str(int(time.time()))
    digest = hmac.new(STRIPE_SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "Stripe-Signature": f"t={timestamp},v1={digest}"}


def run(database: str, events: int) -> list[float]:
    with tempfile.TemporaryDirectory() as name, run_sandbox(0) as sandbox:
        folder, port = Path(name), free_port()
        requests.put(f"{sandbox.url}/_sandbox/leads/{GUID}", json={}, timeout=5)
        env = environment(folder, database, port, HUBSPOT_BASE_URL=sandbox.url, BUNDLE_WINDOW="0")
        env |= {"HUBSPOT_ACCESS_TOKEN": "bench", "HUBSPOT_RATE_LIMIT": "1000/1"}
        subprocess.run([sys.executable, "-m", "integration", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        command = [sys.executable, "-m", "integration", "worker"]
        worker = subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            with Gunicorn("integration.web.wsgi:app", env, folder):
                time.sleep(1)
                return [one(port, sandbox.url, number) for number in range(events)]
        finally:
            worker.terminate()
            worker.wait(30)


def one(port: int, sandbox: str, number: int) -> float:
    """Milliseconds from before the POST until the sandbox has recorded the PUT."""
    before = len(puts(sandbox))
    body, headers = signed(number)
    started = time.time()
    requests.post(
        f"http://127.0.0.1:{port}/hooks/stripe", data=body, headers=headers, timeout=10
    ).raise_for_status()
    while len(found := puts(sandbox)) == before:
        if time.time() - started > 10:
            sys.exit("the PUT did not arrive within 10 s")
        time.sleep(0.02)
    return (float(found[-1]["time"]) / 1e6 - started) * 1000


def puts(sandbox: str) -> list[dict[str, object]]:
    answer = requests.get(f"{sandbox}/_sandbox/requests", timeout=5).json()
    return [item for item in answer if item["method"] == "PUT"]


def report(title: str, values: list[float]) -> None:
    ordered = sorted(values)
    p95 = ordered[int(len(ordered) * 0.95)]
    p50 = statistics.median(ordered)
    print(f"{title}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {ordered[-1]:.1f} ms ({len(values)} events)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100)
    options = parser.parse_args()
    report("SQLite", run("sqlite", options.events))
    with postgresql_server() as url:
        report("PostgreSQL", run(url, options.events))


if __name__ == "__main__":
    main()
