"""A running worker posts alerts over real HTTP, and delivers on while the receiver keeps it waiting."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from integration import worker as worker_module
from integration.core.settings import Settings
from integration.operate import alerts
from integration.worker import Worker
from tests.engine import Engine


class Receiver:
    """A chat's incoming webhook. Answers once `open` is set."""

    def __init__(self) -> None:
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self.open = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.open.wait(30)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@contextmanager
def serving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.open.set()
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


@contextmanager
def working(engine: Engine, url: str) -> Iterator[None]:
    settings = Settings.read({"ALERT_WEBHOOK_URL": url, "BUNDLE_WINDOW": "0"})
    worker = Worker(engine.store, engine.sources, engine.hubspot, settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def test_dead_letters_are_posted_once_while_delivery_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "ALERT_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(alerts, "COMMITTED_AFTER_SECONDS", 0)
    with serving() as receiver, working(engine, f"http://127.0.0.1:{receiver.server.server_port}/secret"):
        for number in range(3):
            engine.post({"id": f"bad {number}", "guid": "ann", "score": "many"})
        message = receiver.received.get(timeout=30)
        engine.post({"id": "good", "guid": "bob", "city": "Rome"})
        until = time.monotonic() + 30
        while ("bob", {"city": "Rome"}) not in engine.hubspot.sent:
            assert time.monotonic() < until, "delivery waits for the alert"
            time.sleep(0.02)
        receiver.open.set()
    assert (message["alert"], message["cause"]) == ("dead_letters", "invalid_field")
    assert receiver.received.empty(), "told once"
