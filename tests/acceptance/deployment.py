"""A whole deployment on this machine, with real processes that can be killed and started again.

The sandbox lives in the test's own process; web and workers are what the Procfile starts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import requests

from integration.core.settings import RateLimit
from integration.sandbox import run_sandbox
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from tests.acceptance.portals import CUSTOM_FIELDS, PORTALS

ROOT = Path(__file__).parents[2]
SECRET = "whsec_acceptance"
TOKEN = "token-of-the-acceptance-tests"

OAUTH = {
    "HUBSPOT_CLIENT_ID": "client-of-the-tests",
    "HUBSPOT_CLIENT_SECRET": "client-secret-of-the-tests",
    "HUBSPOT_REFRESH_TOKEN": "refresh-token-of-the-tests",
}

MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: stripe, secrets: [SHOP_SECRET]}
event:
  id: id
  type: type
  time: {from: at, as: unix_millis}
lead:
  guid: guid
  email: email
  keys: {customer: customer}
rules:
  - name: everything
    events: ["*"]
    set:
      closedAt: {from: at, as: unix_millis, write: earliest}
      city: city
      phone: phone
      points: {from: score, as: integer, write: max}
      spent: {from: paid, as: integer, write: sum}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def sign(body: bytes) -> str:
    """The header that the shop would send now."""
    timestamp = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def signed(payload: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
    """The body and headers that the shop would send now."""
    body = json.dumps(payload).encode()
    return body, {"Content-Type": "application/json", "Stripe-Signature": sign(body)}


class Deployment:
    """Sandbox, web and workers over one database; what they log is in `folder`."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        workers: int = 2,
        rate_limit: RateLimit | None = None,
        api: str = "leads-v1",
        upgraded: bool = True,
        **settings: str,
    ) -> None:
        self.portal = PORTALS[api]
        self.folder = folder
        self.port = free_port()
        self.sandbox = run_sandbox(0, rate_limit, access_token=TOKEN)
        mappings = folder / "mappings" / "shop"
        mappings.mkdir(parents=True)
        (mappings / "mapping.yaml").write_text(MAPPING)
        (mappings.parent / "fields.yaml").write_text(CUSTOM_FIELDS)
        self.portal.prepare(self.sandbox.url)
        (folder / "metrics").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "MAPPINGS_DIR": str(mappings.parent),
            "SHOP_SECRET": SECRET,
            "HUBSPOT_API": api,
            "HUBSPOT_BASE_URL": self.sandbox.url,
            "HUBSPOT_ACCESS_TOKEN": TOKEN,
            "HUBSPOT_RATE_LIMIT": str(rate_limit or RateLimit(10_000, 1)),
            "BUNDLE_WINDOW": "0",
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
            "PORT": str(self.port),
            **(OAUTH if api == "contacts" else {}),
            **settings,
        }
        if upgraded:
            store = Store(database_url)
            upgrade(store)
            store.dispose()
        self.code: dict[str, Path] = {}  # by process, where its program is; else it is the present one
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands = {
            "web": ["gunicorn", "-c", "python:integration.web.gunicorn_conf", "integration.web.wsgi:app"],
            **{f"worker-{number}": ["integration", "worker"] for number in range(workers)},
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        code = self.code.get(name, ROOT)
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *self.commands[name]],
            env={**self.environment, "PYTHONPATH": str(code)},
            cwd=code,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def run(self, *arguments: str, code: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """`leadwire` with these arguments, until it ends."""
        return subprocess.run(
            [sys.executable, "-m", "integration", *arguments],
            env={**self.environment, "PYTHONPATH": str(code)},
            cwd=code,
            capture_output=True,
            timeout=60,
            check=False,
            text=True,
        )

    def kill(self, name: str) -> None:
        """kill -9 of a process and all its children at once."""
        process = self.processes[name]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def terminate(self, name: str, timeout: float = 30) -> int:
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(timeout)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.05)
        logs = "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in self.folder.glob("*.log"))
        raise AssertionError(f"not within {seconds:g} s: {what}\n{logs}")

    def web_answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    def post(self, payload: Mapping[str, object], timeout: float = 30) -> requests.Response:
        body, headers = signed(payload)
        return requests.post(f"{self.url}/hooks/shop", data=body, headers=headers, timeout=timeout)

    def seed_lead(self, guid: str) -> None:
        requests.put(f"{self.sandbox.url}/_sandbox/leads/{guid}", json={}, timeout=10).raise_for_status()

    def lead(self, guid: str) -> dict[str, object]:
        answer = requests.get(f"{self.sandbox.url}/_sandbox/leads/{guid}", timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def __enter__(self) -> Deployment:
        for name in self.commands:
            self.start(name)
        self.wait_until(self.web_answers, "the web process answers")
        return self

    def __exit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None
    ) -> None:
        for name in self.processes:
            self.kill(name)
        self.sandbox.close()
