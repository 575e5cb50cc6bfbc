"""Target `request`: a whole request through the application against SQLite, and then through translation."""

from __future__ import annotations

import itertools
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flask import Flask
from sqlalchemy import delete, func, select
from werkzeug.test import TestResponse, run_wsgi_app

from fuzz import material
from fuzz.message import Message, read, write
from integration.config.sources import Source, Sources
from integration.core.logs import JsonFormatter
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, RawRequest
from integration.http.client import Answer
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator
from integration.pipeline.verification import Certificates
from integration.store.engine import Store
from integration.store.tables import events, metadata
from integration.store.upgrade import upgrade
from integration.web.app import create_app
from tests import paypal
from tests.vectors import VECTORS, read_vector, request_of

KEPT = 5_000  # inputs, after which the store is emptied
BASE = "https://hooks.example.com"
REFUSALS = {400, 401, 403, 404, 405, 413, 415}


class _Lines(logging.Handler):
    """Every log line must be one that can be written; `handle` of the base class would hide an error."""

    def handle(self, record: logging.LogRecord) -> bool:
        line = JsonFormatter().format(record)
        assert "\n" not in line, line
        line.encode()
        assert record.exc_info is None, line
        return True


@dataclass(frozen=True, slots=True)
class Running:
    """The application with all shipped sources, and a worker's part in it."""

    app: Flask
    store: Store
    translator: Translator
    counter: Iterator[int]


@cache
def running() -> Running:
    """Made once for each process; the folder goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="leadwire-fuzz-")
    url = f"sqlite:///{folder.name}/leadwire.db"
    settings = Settings.read(
        {
            "DATABASE_URL": url,
            "PUBLIC_URL": BASE,
            "MAX_BODY_BYTES": str(material.LIMIT),
            "REJECTED_KEEP": "50",
        }
    )
    store = Store(url)
    upgrade(store)
    logging.getLogger().handlers[:] = [_Lines()]
    logging.getLogger("integration").setLevel(logging.INFO)
    sources = Sources(material.MAPPINGS, material.secrets())
    certificates = Certificates(
        paypal.InMemory(), lambda _: Answer(200, {}, paypal.certificate()), itertools.count(0, 60).__next__
    )
    app = create_app(settings, sources, lambda: material.NOW, certificates)
    app.testing = True  # an exception comes out as it is
    app.extensions["folder"] = folder
    timing = BundleTiming(MICROS_PER_SECOND, MICROS_PER_SECOND)
    translator = Translator(
        store,
        MAIN_ACCOUNT,
        sources,
        lambda: material.NOW,
        timing,
        worker="fuzz",
        max_body_bytes=material.LIMIT,
    )
    return Running(app, store, translator, itertools.count(1))


def run(data: bytes) -> None:
    """An answer of the contract, never 500; and each event that came in is settled with words."""
    application = running()
    if next(application.counter) % KEPT == 0:
        _forget(application.store)
    answer = _answer(application.app, _environ(read(data)))
    if answer.status_code >= 300:
        assert answer.status_code in REFUSALS, (answer.status_code, answer.data)
        if answer.data:  # none to a HEAD
            assert answer.content_type == "application/problem+json", answer.content_type
            problem = json.loads(answer.data)
            assert problem["status"] == answer.status_code, problem
            assert problem["code"].isidentifier(), problem
    else:
        assert answer.status_code in {200, 202}, answer.status_code
    while application.translator.run_once():
        pass
    _check_events(application.store)


def _answer(app: Flask, environ: dict[str, Any]) -> TestResponse:
    """Called as a server does: Flask's own test client would put what a stranger sent in order first."""
    parts, status, headers = run_wsgi_app(app, environ, buffered=True)
    return TestResponse(parts, status, headers, app.request_class(environ))


def _check_events(store: Store) -> None:
    open_ones = select(func.count()).select_from(events).where(events.c.state == "received")
    unexpected = select(events.c.detail).where(events.c.detail.contains("cannot be translated: "))
    with store.read() as connection:
        assert connection.execute(open_ones).scalar_one() == 0
        assert connection.execute(unexpected).all() == []


def _forget(store: Store) -> None:
    with store.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name in {"requests", "events", "leads", "identifiers", "updates", "fetches"}:
                connection.execute(delete(table))


def _environ(message: Message) -> dict[str, Any]:
    """The request as a WSGI server hands it over, signed after the mutation where the third word says so."""
    request = _raw(message)
    source = _source_of(request.url)
    if message.word(2) == "signed" and source is not None:
        request = _signed(source, request)
    target = request.url.removeprefix(BASE)
    path = target.partition("?")[0]
    headers = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in request.headers.items()}
    content_type = headers.pop("HTTP_CONTENT_TYPE", "")
    length = headers.pop("HTTP_CONTENT_LENGTH", str(len(request.body)))  # of any length, as servers let pass
    return {
        **headers,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "RAW_URI": target,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": length if length.isdigit() and length.isascii() else "",
        "SERVER_NAME": "hooks.example.com",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.9",
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _raw(message: Message) -> RawRequest:
    target = message.word(1) if message.word(1).startswith("/") else f"/hooks/{message.word(1)}"
    method = message.word(0) if message.word(0).isalpha() and message.word(0).isascii() else "POST"
    query = target.partition("?")[2]
    return RawRequest(
        MAIN_ACCOUNT, "", method, BASE + target, query, message.headers, message.body, material.NOW
    )


def _source_of(url: str) -> Source | None:
    name = Path(url.partition("?")[0]).name
    found = material.configuration().sources.get(name)
    return found if isinstance(found, Source) else None


def _signed(source: Source, request: RawRequest) -> RawRequest:
    if source.scheme.certificate_url is not None:
        return paypal.signed(request, source.secrets[0].value)
    try:
        signed = source.scheme.sign(replace(request, source=source.name), source.secrets[0], material.NOW)
    except ValueError:
        return request
    return replace(signed, query=signed.url.partition("?")[2])


def seeds() -> Iterator[bytes]:
    """Every example, to be signed; the recorded requests as they came, and to be signed; and handshakes."""
    for name, kind, body in material.examples():
        yield write(["POST", f"/hooks/{name}", "signed"], {"content-type": kind}, body)
    for file in VECTORS:
        request = request_of(read_vector(file), file.parent)
        name = file.parent.name if file.parent.name in material.source_names() else "generic"
        target = f"/hooks/{name}" + (f"?{request.query}" if request.query else "")
        for word in ("as-it-came", "signed"):
            yield write([request.method, target, word], request.headers, request.body)
    for name in material.source_names():
        yield write(
            ["GET", f"/hooks/{name}?challenge=1&hub.challenge=1&bt_challenge=20f38a97bd9be9b6ae7a"], {}, b""
        )
