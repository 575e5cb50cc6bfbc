"""The settings of the web process, each by what changes for a sender or for who looks."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.store.engine import Store
from integration.store.views.request_views import RejectedLine, list_rejected
from integration.web.app import create_app
from tests.engine import MAPPING

SIGNS_ITS_URL = MAPPING.replace(
    "verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}",
    'verify: {scheme: hmac, header: X-Signature, template: "{url}{body}", secrets: [SHOP_TOKEN]}',
)
Web = Callable[..., FlaskClient]


@pytest.fixture
def mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mappings"
    for name in ("shop", "fair"):
        (folder / name).mkdir(parents=True)
        (folder / name / "mapping.yaml").write_text(MAPPING.replace("source: shop", f"source: {name}"))
    monkeypatch.setenv("SHOP_TOKEN", "opensesame")
    return folder


@pytest.fixture
def web(mappings: Path, store: Store) -> Web:
    """The application with these settings, over a database that has the tables."""

    def web(**settings: str) -> FlaskClient:
        url = store.url.render_as_string(hide_password=False)
        environ = {"DATABASE_URL": url, "MAPPINGS_DIR": str(mappings), **settings}
        return create_app(Settings.read(environ)).test_client()

    return web


def post(web: FlaskClient, source: str = "shop", token: str = "opensesame", **more: Any) -> int:
    headers = {"X-Token": token, **more.pop("headers", {})}
    body = {"id": "a", "type": "paid", "at": 1_764_000_000, "guid": "ann", **more.pop("payload", {})}
    return web.post(f"/hooks/{source}", json=body, headers=headers, **more).status_code


def rejected(store: Store, source: str = "shop") -> list[RejectedLine]:
    with store.read() as connection:
        return list_rejected(connection, MAIN_ACCOUNT, limit=100, source=source)


def test_rejected_keep_is_how_many_rejected_requests_of_a_source_stay(store: Store, web: Web) -> None:
    app = web(REJECTED_KEEP="2")
    assert post(app) == 200
    assert post(app, "fair", token="stranger 0") == 401
    for number in range(5):
        address = {"REMOTE_ADDR": f"203.0.113.{number}"}
        assert post(app, token=f"stranger {number}", environ_overrides=address) == 401

    assert [line.client for line in rejected(store)] == ["203.0.113.4", "203.0.113.3"], "the newest stay"
    assert len(rejected(store, "fair")) == 1, "strangers at one source cost another nothing"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.7:49152", "203.0.113.7"),
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:db8::7]:49152", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_clients_address_is_stored_without_its_port(
    store: Store, web: Web, address: str, shown: str
) -> None:
    post(web(), token="stranger", environ_overrides={"REMOTE_ADDR": address})
    assert [line.client for line in rejected(store)] == [shown]


@pytest.mark.parametrize(
    ("proxies", "shown"), [("0", "127.0.0.1"), ("1", "198.51.100.2"), ("2", "203.0.113.7")]
)
def test_trusted_proxies_is_how_many_addresses_are_believed(
    store: Store, web: Web, proxies: str, shown: str
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.1, 203.0.113.7:49152, 198.51.100.2"}
    post(web(TRUSTED_PROXIES=proxies), token="stranger", headers=headers)
    assert [line.client for line in rejected(store)] == [shown]


@pytest.mark.parametrize(("limit", "status"), [("40", 413), ("400", 200)])
def test_max_body_bytes_is_the_largest_body(store: Store, web: Web, limit: str, status: int) -> None:
    assert post(web(MAX_BODY_BYTES=limit)) == status
    assert [line.reason for line in rejected(store)] == (["body_too_large"] if status == 413 else [])


def test_metrics_token_closes_the_metrics(web: Web) -> None:
    assert web().get("/metrics").status_code == 200
    closed = web(METRICS_TOKEN="of the watcher")
    assert closed.get("/metrics").status_code == 401
    allowed = {"Authorization": "Bearer of the watcher"}
    assert closed.get("/metrics", headers=allowed).status_code == 200


def test_mappings_dir_is_where_sources_are(web: Web, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    answer = web(MAPPINGS_DIR=str(tmp_path / "others")).post("/hooks/shop", json={})
    assert (answer.status_code, json.loads(answer.text)["code"]) == (404, "unknown_source")
    assert post(web()) == 200


@pytest.mark.parametrize(
    ("public_url", "signed_for"),
    [("", "http://localhost"), ("https://hooks.example.com", "https://hooks.example.com")],
)
def test_public_url_is_what_a_signature_over_the_url_covers(
    web: Web, mappings: Path, public_url: str, signed_for: str
) -> None:
    (mappings / "shop" / "mapping.yaml").write_text(SIGNS_ITS_URL)
    body = b'{"id": "a", "type": "paid", "at": 1764000000, "guid": "ann"}'
    signed = f"{signed_for}/hooks/shop".encode() + body
    headers = {"X-Signature": hmac.new(b"opensesame", signed, hashlib.sha256).hexdigest()}

    def status_at(public_url: str) -> int:
        app = web(PUBLIC_URL=public_url)
        return app.post(
            "/hooks/shop", data=body, headers=headers, content_type="application/json"
        ).status_code

    assert status_at(public_url) == 200
    assert status_at("https://elsewhere.example.com") == 401
