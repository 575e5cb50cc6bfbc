"""Resident memory of each process under load: webhooks come in as fast as they are taken, and are delivered.

Web (two processes and their parent) and one worker as the Procfile starts them; the stand-in answers at once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from accept import event_body
from common import ROOT, STRIPE_SECRET, Gunicorn, environment, free_port, peak_memory, postgresql_server
from deliver import NO_LIMIT, remaining, wait_until_delivered, worker
from sender import request, send_all
from translate import bodies

from integration.store.engine import Store

CONNECTIONS = 32


def measure(database: str, events: int, leads: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, port, hubspot_port = Path(name), free_port(), free_port()
        env = environment(folder, database, port)
        subprocess.run([sys.executable, "-m", "integration", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        standin = subprocess.Popen([sys.executable, "bench/fast_standin.py", str(hubspot_port)], cwd=ROOT)
        store = Store(env["DATABASE_URL"])
        hubspot = f"http://127.0.0.1:{hubspot_port}"
        try:
            with (
                Gunicorn("integration.web.wsgi:app", env, folder) as web,
                worker(folder, env["DATABASE_URL"], hubspot, NO_LIMIT) as delivering,
            ):
                time.sleep(3)
                processes = {"web, parent": web.process.pid, "worker": delivering.pid}
                children = psutil.Process(web.process.pid).children()
                processes |= {f"web {number}": child.pid for number, child in enumerate(children, 1)}
                idle = {title: resident(pid) for title, pid in processes.items()}
                payloads = [
                    *bodies(events, leads),
                    *(event_body(f"evt_x{n}").encode() for n in range(events)),
                ]
                sent = [request(body, STRIPE_SECRET, port, "/hooks/stripe") for body in payloads]
                statuses, seconds = send_all(port, sent, connections=CONNECTIONS)
                wait_until_delivered(store, 120)
                print(f"{store.url.get_backend_name()}: {statuses.count(200)} events in {seconds:.0f} s")
                for title, pid in sorted(processes.items()):
                    print(
                        f"  {title:12} {idle[title]:5.0f} MB idle, {peak_memory(pid):5.0f} MB at its peak, "
                        f"{psutil.Process(pid).memory_full_info().uss / 2**20:5.0f} MB of its own"
                    )
        finally:
            assert remaining(store) == 0
            store.dispose()
            standin.terminate()
            standin.wait(10)


def resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--leads", type=int, default=2_000)
    options = parser.parse_args()
    measure("sqlite", options.events, options.leads)
    with postgresql_server() as url:
        measure(url, options.events, options.leads)


if __name__ == "__main__":
    main()
