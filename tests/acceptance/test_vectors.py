"""Recorded requests and their verdicts, over real HTTP against the running application with its clock set.

Every system that has recorded requests and a folder under `mappings/` is judged by that folder as it is.
"""

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
from ruamel.yaml import YAML
from werkzeug.serving import make_server

from integration.pipeline.sources import Sources
from integration.settings import Settings
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from integration.web.app import create_app

ROOT = Path(__file__).parents[2]
MAPPINGS = ROOT / "mappings"
VECTORS = ROOT / "tests" / "data" / "vectors"
NAMED_OTHERWISE = {"standard-webhooks": "generic"}
BY_SCHEME = {  # folders for other signatures of the same system
    ("hubspot", "hubspot_v1"): "hubspot-v1",
    ("hubspot", "hubspot_v2"): "hubspot-workflow",
    ("chargebee", "token_query"): "keyed",
    ("generic", "token_bearer"): "generic-token",
}
WITHOUT_FOLDER = {  # vendors' other schemes, judged in tests/unit/verify by their options alone
    "adyen/vector_platform_header",
    "hubspot/vector_v2_get",  # a GET carries no event
    "maxio/vector_legacy_md5",
    "recurly/vector_xml_basic",
    "shopify/vector_events_headers",
    "standard-webhooks/vector_ed25519",
    "standard-webhooks/vector_neg_ed25519_body",
    "zuora/vector_hmac_template",
}
NOT_JSON = {
    "github/vector_docs",
    "hubspot/vector_v3_sdk",
}  # the signature is right, and the body is refused after that
KEY_IN_URL = """\
version: 1
source: keyed
title: A key in the URL
verify: {scheme: token, query: key, secrets: [KEYED_TOKEN]}
event: {id: id, type: event_type, time: {from: occurred_at, as: unix_seconds}}
lead: {guid: guid}
rules: [{name: all, events: ["*"], set: {city: city}}]
"""


def source_of(file: Path, vector: dict[str, Any]) -> str | None:
    """The source that the request is for; None if no folder has its scheme."""
    system = file.parent.name
    if f"{system}/{file.stem}" in WITHOUT_FOLDER:
        return None
    source = BY_SCHEME.get((system, vector["scheme"]))
    if source is None and system != "generic":
        source = NAMED_OTHERWISE.get(system, system)
    known = source == "keyed" or (source is not None and (MAPPINGS / source / "mapping.yaml").exists())
    return source if known else None


def vectors() -> Iterator[Any]:
    for file in sorted(VECTORS.glob("*/vector*.json")):
        vector = json.loads(file.read_text(encoding="utf-8"))
        source = source_of(file, vector)
        if source is not None and vector["valid"] is not None:
            name = f"{file.parent.name}/{file.stem}"
            status = 400 if name in NOT_JSON else 200
            yield pytest.param(source, file.parent, vector, status if vector["valid"] else 401, id=name)


def settings_of(mapping: Path, vector: dict[str, Any]) -> dict[str, str]:
    """The vector's secret under the name that the mapping gives it."""
    secret = vector["secret"]
    text = secret if isinstance(secret, str) else ":".join(secret[name] for name in _parts_of(secret))
    return {YAML(typ="safe").load(mapping)["verify"]["secrets"][0]: text}


def _parts_of(secret: dict[str, str]) -> tuple[str, str]:
    pairs = (("username", "password"), ("public_key", "private_key"), ("organization_id", "token"))
    return next(pair for pair in pairs if pair[0] in secret)


def lay_out(folder: Path, source: str) -> Path:
    """A folder of mappings with this source only, as it is shipped."""
    mappings = folder / "mappings"
    mappings.mkdir()
    (mappings / "fields.yaml").symlink_to(MAPPINGS / "fields.yaml")
    if source == "keyed":
        (mappings / source).mkdir()
        (mappings / source / "mapping.yaml").write_text(KEY_IN_URL)
    else:
        (mappings / source).symlink_to(MAPPINGS / source)
    return mappings


@contextmanager
def running(folder: Path, source: str, vector: dict[str, Any]) -> Iterator[str]:
    """The application with one source; its public URL is where the vector was sent to."""
    mappings = lay_out(folder, source)
    sent_to = urlsplit(vector["url"])
    settings = Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{folder}/leadwire.db",
            "PUBLIC_URL": f"{sent_to.scheme}://{sent_to.netloc}",
        }
    )
    store = Store(settings.database_url)
    upgrade(store)
    store.dispose()
    secrets = settings_of(mappings / source / "mapping.yaml", vector)
    app = create_app(settings, Sources(mappings, secrets), lambda: vector["now"] * 1_000_000)
    server = make_server("127.0.0.1", 0, behind_proxy(app, sent_to.path, sent_to.query), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def behind_proxy(app: Any, path: str, query: str) -> Any:
    """The application as a proxy calls it that knows it under another path: schemes that sign the URL
    must see the sender's.
    """

    def called(environ: dict[str, Any], start_response: Any) -> Any:
        environ["RAW_URI"] = f"{path}?{query}" if query else path
        return app(environ, start_response)

    return called


@pytest.mark.parametrize(("source", "folder", "vector", "status"), list(vectors()))
def test_a_recorded_request_gets_its_verdict(
    source: str, folder: Path, vector: dict[str, Any], status: int, tmp_path: Path
) -> None:
    query = urlsplit(vector["url"]).query
    with running(tmp_path, source, vector) as base:
        answer = requests.request(
            vector["method"],
            f"{base}/hooks/{source}" + (f"?{query}" if query else ""),
            data=(folder / vector["body_file"]).read_bytes(),
            headers=vector["headers"],
            timeout=10,
        )

    assert answer.status_code == status, answer.text
