"""A backlog's way to today's HubSpot: how many requests contacts take, beside what the Leads API would.

HubSpot knows the people by email only, so they are looked up first. A worker starts with a limit of 1,000
requests in 10 s. Its requests are counted at the sandbox, which enforces the same limit: those that write,
and those that look the contacts up.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import requests
from common import on_both_databases
from deliver import LIMIT, prepare, wait_until_delivered, worker
from sqlalchemy import text

from integration.sandbox import SandboxServer, run_sandbox
from integration.sandbox.contact_store import Property

FIELDS = (
    Property("plan"),
    Property("paymentstatus"),
    Property("lastpayment", "number"),
    Property("lastpaymentcurrency"),
    Property("lastpaymentat", "datetime"),
)


def seed(sandbox: SandboxServer, leads: int) -> None:
    with requests.Session() as session:
        for number in range(leads):
            body = {"email": f"lead{number}@example.com"}
            answer = session.put(f"{sandbox.url}/_sandbox/contacts/{1000 + number}", json=body, timeout=5)
            answer.raise_for_status()


def measure(url: str, folder: Path, events: int, leads: int) -> None:
    store = prepare(url, events, leads)
    with run_sandbox(0, LIMIT, properties=FIELDS) as sandbox:
        seed(sandbox, leads)
        database = store.url.render_as_string(hide_password=False)
        with worker(folder, database, sandbox.url, LIMIT, HUBSPOT_API="contacts"):
            wait_until_delivered(store, 120)
        made = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=30).json()
    kinds = Counter(request["path"].rpartition("/")[2] for request in made)
    taken = (made[-1]["time"] - made[0]["time"]) / 1e6
    with store.read() as connection:
        states = connection.execute(text("SELECT state, count(*) FROM leads GROUP BY state")).all()
    print(f"{store.url.get_backend_name()}: {events} events on {leads} leads, whom HubSpot knows by email")
    print(f"  {kinds['update']} requests that write, {kinds['read']} that look contacts up")
    print(f"  first to last request {taken:.2f} s; leads: {dict(states)}")  # type: ignore[arg-type]
    store.dispose()


if __name__ == "__main__":
    on_both_databases(__doc__, measure, events=20_000, leads=2_000)
