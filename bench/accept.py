"""Accepted webhooks a second against an empty Flask view, under the same gunicorn and the same load.

Each webhook is a signed Stripe event of 2.3 KB with an id of its own: verified, parsed, committed (fsynced).
Usage: python bench/accept.py [--database URL] [--worker-class gevent|gthread] [--rounds N]
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, STRIPE_SECRET, Gunicorn, environment, free_port, postgresql_server

CONNECTIONS = 32
SECONDS = 4
BODY_BYTES = 2300
EVENTS = 60_000
THREADS = 2


def event_body(identifier: str) -> str:
    payload = json.loads((ROOT / "mappings/stripe/examples/payment_intent.succeeded.json").read_text())
    payload["id"] = identifier
    body = json.dumps(payload)
    payload["data"]["object"]["description"] = "x" * max(0, BODY_BYTES - len(body))
    return json.dumps(payload)


def write_load(folder: Path, round_number: int) -> Path:
    """A wrk script that posts a different signed event each time."""
    timestamp = int(time.time())
    template = event_body("@ID@")
    signatures = folder / "signatures.txt"
    with signatures.open("w") as file:
        for number in range(EVENTS):
            body = template.replace("@ID@", f"evt_{round_number:03}_{number:08}").encode()
            signed = hmac.new(STRIPE_SECRET.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
            file.write(signed + "\n")
    before, after = template.split("@ID@")
    script = folder / "load.lua"
    script.write_text(
        f"""
local threads = 0
function setup(thread) thread:set("offset", threads); threads = threads + 1 end
function init()
  signatures = {{}}
  for line in io.lines("{signatures}") do signatures[#signatures + 1] = line end
  position = offset
  headers = {{["Content-Type"] = "application/json"}}
end
function request()
  headers["Stripe-Signature"] = "t={timestamp},v1=" .. signatures[position % #signatures + 1]
  local id = string.format("evt_{round_number:03}_%08d", position % #signatures)
  position = position + {THREADS}
  return wrk.format("POST", nil, headers, [==[{before}]==] .. id .. [==[{after}]==])
end
"""
    )
    return script


def measure(url: str, script: Path) -> dict[str, float]:
    command = [
        "wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency", "-s", str(script), url,
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"the server answered with errors:\n{output}")
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),  # type: ignore[index]
        "p50": milliseconds(output, "50%"),
        "p99": milliseconds(output, "99%"),
    }


def milliseconds(output: str, name: str) -> float:
    match = re.search(rf"{name}\s+([\d.]+)(us|ms|s)", output)
    assert match
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]]


def run(database: str, worker_class: str, rounds: int) -> list[dict[str, float]]:
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        env = environment(folder, database, port)
        env["LEADWIRE_BENCH_WORKER_CLASS"] = worker_class
        subprocess.run([sys.executable, "-m", "integration", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        with Gunicorn("bench_app:app", env, folder, config="bench/gunicorn_bench.py"):
            for number in range(rounds):
                script = write_load(folder, number)
                empty = measure(f"http://127.0.0.1:{port}/empty", script)
                accept = measure(f"http://127.0.0.1:{port}/hooks/stripe", script)
                results.append(compared(empty, accept))
    return results


def compared(empty: dict[str, float], accept: dict[str, float]) -> dict[str, float]:
    return {
        "empty": empty["rate"],
        "accept": accept["rate"],
        "ratio": accept["rate"] / empty["rate"],
        "empty p50": empty["p50"],
        "accept p50": accept["p50"],
        "empty p99": empty["p99"],
        "accept p99": accept["p99"],
    }


def report(title: str, results: list[dict[str, float]]) -> None:
    print(f"\n{title}: median of {len(results)} rounds, {CONNECTIONS} connections, {BODY_BYTES} B bodies")
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"  {name:12} {statistics.median(values):10.2f}   ({min(values):.2f} to {max(values):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--worker-class", choices=["gevent", "gthread", "both"], default="gevent")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    classes = ["gevent", "gthread"] if options.worker_class == "both" else [options.worker_class]
    for worker_class in classes:
        if options.database in {"sqlite", "both"}:
            report(f"SQLite, {worker_class}", run("sqlite", worker_class, options.rounds))
        if options.database in {"postgresql", "both"}:
            with postgresql_server() as url:
                report(f"PostgreSQL, {worker_class}", run(url, worker_class, options.rounds))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
