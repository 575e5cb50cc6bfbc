"""Recorded requests and their verdicts, over real HTTP against the running application with its clock set."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from werkzeug.serving import make_server

from integration.pipeline.sources import Sources
from integration.settings import Settings
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from integration.web.app import create_app

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "data" / "vectors"
SHIPPED = {"stripe": "stripe", "chargebee": "chargebee", "standard-webhooks": "generic"}
KEY_IN_URL = """\
version: 1
source: keyed
title: A key in the URL
verify: {scheme: token, query: key, secrets: [KEYED_TOKEN]}
event: {id: id, type: event_type, time: {from: occurred_at, as: unix_seconds}}
lead: {guid: guid}
rules: [{name: all, events: ["*"], set: {city: city}}]
"""


def vectors() -> Iterator[Any]:
    for folder, source in SHIPPED.items():
        for file in sorted((VECTORS / folder).glob("vector*.json")):
            vector = json.loads(file.read_text())
            if "ed25519" in file.name:  # an asymmetric scheme of its own, which mappings/generic does not use
                continue
            used = "keyed" if "params" in vector else source
            yield pytest.param(used, file.parent, vector, id=f"{folder}/{file.stem}")


def settings_of(vector: dict[str, Any]) -> dict[str, str]:
    secret = vector["secret"]
    text = f"{secret['username']}:{secret['password']}" if isinstance(secret, dict) else secret
    names = ("STRIPE_WEBHOOK_SECRET", "CHARGEBEE_WEBHOOK_LOGIN", "GENERIC_WEBHOOK_SECRET", "KEYED_TOKEN")
    return dict.fromkeys(names, text)


@contextmanager
def running(folder: Path, vector: dict[str, Any]) -> Iterator[str]:
    mappings = folder / "mappings"
    mappings.mkdir()
    for source in SHIPPED.values():
        (mappings / source).symlink_to(ROOT / "mappings" / source)
    (mappings / "fields.yaml").symlink_to(ROOT / "mappings" / "fields.yaml")
    (mappings / "keyed").mkdir()
    (mappings / "keyed" / "mapping.yaml").write_text(KEY_IN_URL)
    settings = Settings.read({"DATABASE_URL": f"sqlite:///{folder}/leadwire.db"})
    store = Store(settings.database_url)
    upgrade(store)
    store.dispose()
    app = create_app(settings, Sources(mappings, settings_of(vector)), lambda: vector["now"] * 1_000_000)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("source", "folder", "vector"), list(vectors()))
def test_a_recorded_request_gets_its_verdict(
    source: str, folder: Path, vector: dict[str, Any], tmp_path: Path
) -> None:
    query = urlsplit(vector["url"]).query
    with running(tmp_path, vector) as base:
        answer = requests.request(
            vector["method"],
            f"{base}/hooks/{source}" + (f"?{query}" if query else ""),
            data=(folder / vector["body_file"]).read_bytes(),
            headers=vector["headers"],
            timeout=10,
        )

    assert answer.status_code == (200 if vector["valid"] else 401), answer.text
