"""The application with one source, served by real HTTP in this process with its clock set."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Table, func, select
from werkzeug.serving import make_server

from integration.config.sources import Source, Sources
from integration.core.settings import Settings
from integration.core.values import MICROS_PER_SECOND
from integration.pipeline.verification import Certificates
from integration.store.engine import Store
from integration.store.tables import events, requests
from integration.store.upgrade import upgrade
from integration.web.app import create_app

MAPPINGS = Path(__file__).parents[2] / "mappings"
MADE = "made"


@dataclass(frozen=True, slots=True)
class Served:
    """Where the source's requests go to (`url`), the source by its `name`, and what was stored."""

    url: str
    name: str
    sources: Sources
    store: Store

    @property
    def source(self) -> Source:
        return usable(self.sources, self.name)

    @property
    def stored(self) -> tuple[int, int]:
        """How many requests were accepted, and how many were rejected."""
        accepted = self._count(requests, requests.c.reason.is_(None))
        return accepted, self._count(requests, requests.c.reason.is_not(None))

    @property
    def stored_events(self) -> int:
        return self._count(events)

    def _count(self, table: Table, *conditions: Any) -> int:
        with self.store.read() as connection:
            return int(
                connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
            )


def shipped(folder: Path, source: str) -> Path:
    """A folder of mappings with this source only, as it is shipped."""
    mappings = _mappings(folder)
    (mappings / source).symlink_to(MAPPINGS / source)
    return mappings


def made(folder: Path, verify: Mapping[str, Any], **others: Any) -> Path:
    """A folder of mappings with the source MADE only, which takes any event; the secret is MADE_SECRET."""
    mapping = {
        "version": 1,
        "source": MADE,
        "verify": {**verify, "secrets": ["MADE_SECRET"]},
        "event": {"type": {"value": "any"}},
        "lead": {"guid": "guid"},
        "rules": [{"name": "all", "events": ["*"], "set": {"city": "city"}}],
        **others,
    }
    mappings = _mappings(folder)
    (mappings / MADE).mkdir()
    (mappings / MADE / "mapping.yaml").write_text(json.dumps(mapping))  # JSON is YAML
    return mappings


def _mappings(folder: Path) -> Path:
    mappings = folder / "mappings"
    mappings.mkdir()
    (mappings / "fields.yaml").symlink_to(MAPPINGS / "fields.yaml")
    return mappings


@contextmanager
def served(
    mappings: Path,
    source: str,
    secret: str,
    *,
    sent_to: str,
    now: int,
    environ: Mapping[str, str] | None = None,
    certificates: Certificates | None = None,
) -> Iterator[Served]:
    """The application with the one source of `mappings`, and `secret` as the first that the mapping names.

    `sent_to` is the address that the sender used, and signs; `now` is the time there, in Unix seconds.
    """
    address = urlsplit(sent_to)
    settings = Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{mappings.parent}/leadwire.db",
            "PUBLIC_URL": f"{address.scheme}://{address.netloc}",
        }
    )
    store = Store(settings.database_url)
    upgrade(store)
    sources = configured(mappings, source, secret, environ or {})
    app = create_app(settings, sources, lambda: now * MICROS_PER_SECOND, certificates)
    try:
        with listening(behind_proxy(app, address.path, address.query)) as base:
            yield Served(f"{base}/hooks/{source}", source, sources, store)
    finally:
        store.dispose()


def configured(mappings: Path, source: str, secret: str, environ: Mapping[str, str]) -> Sources:
    """The sources with the secret under the first name that the mapping gives it."""
    names = usable(Sources(mappings, {}), source).mapping.verify.secrets
    return Sources(mappings, {**environ, names[0]: secret})


def usable(sources: Sources, name: str) -> Source:
    found = sources.get(name)
    assert isinstance(found, Source), found
    return found


def behind_proxy(app: Any, path: str, query: str) -> Any:
    """The application as a proxy calls it that knows it under another path: schemes that sign the URL
    must see the sender's.
    """

    def called(environ: dict[str, Any], start_response: Any) -> Any:
        environ["RAW_URI"] = f"{path}?{query}" if query else path
        return app(environ, start_response)

    return called


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address at which a WSGI application is served until the block ends."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
