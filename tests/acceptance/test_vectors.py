"""Recorded requests and their verdicts, over real HTTP against the running application with its clock set.

Every system that has a folder under `mappings/` is judged by that folder as it is. Requests in another scheme
than the folder's, and those of systems without one, are judged by a mapping made of the vector's own options.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import select

from integration.core.clock import now
from integration.core.settings import MIB
from integration.core.values import MAIN_ACCOUNT
from integration.http.client import Answer
from integration.pipeline.replay import Counts, Replay
from integration.pipeline.verification import Certificates, Verifier
from integration.store import tables
from integration.store.history import Selection
from tests import paypal
from tests.acceptance.served import MADE, MAPPINGS, Served, made, served, shipped
from tests.vectors import FOLDER, VECTORS, certificate_of, options_of, read_vector, secret_of

NAMED_OTHERWISE = {"standard-webhooks": "generic"}
BY_SCHEME = {  # folders for other signatures, or other formats, of the same system
    ("hubspot", "hubspot_v1"): "hubspot-v1",
    ("hubspot", "hubspot_v2"): "hubspot-workflow",
    ("recurly", "basic"): "recurly-xml",
}
IN_ANOTHER_SCHEME = {  # than the folder of their system
    "adyen/vector_platform_header",
    "chargebee/vector_query_key",
    "maxio/vector_legacy_md5",
    "shopify/vector_events_headers",
    "zuora/vector_hmac_template",
    "zuora/vector_neg_body",
    "zuora/vector_neg_secret",
}
OTHER_STATUS = {
    "github/vector_docs": 400,  # the signature is right, but the body is not JSON
    "hubspot/vector_v3_sdk": 400,  # the same
    "hubspot/vector_v2_get": 405,  # events come by POST
}


def source_of(file: Path, vector: dict[str, Any]) -> str:
    """The source that the request is for: a folder's name, or MADE."""
    system = file.parent.name
    if system == "generic" or f"{system}/{file.stem}" in IN_ANOTHER_SCHEME:
        return MADE
    return BY_SCHEME.get((system, vector["scheme"]), NAMED_OTHERWISE.get(system, system))


def vectors() -> Iterator[Any]:
    for file in VECTORS:
        vector = read_vector(file)
        name = f"{file.parent.name}/{file.stem}"
        status = OTHER_STATUS.get(name, 200) if vector["valid"] else 401
        yield pytest.param(source_of(file, vector), file.parent, vector, status, id=name)


@contextmanager
def running(
    folder: Path, source: str, vector: dict[str, Any], certificates: Certificates | None = None
) -> Iterator[Served]:
    """The application with the vector's source and secret, at its address and time."""
    mappings = made(folder, options_of(vector)) if source == MADE else shipped(folder, source)
    secret = secret_of(vector).value
    wanted = certificates or certificates_of(vector)
    address, at = vector["url"], vector["now"]
    with served(mappings, source, secret, sent_to=address, now=at, certificates=wanted) as application:
        yield application


def certificates_of(vector: dict[str, Any]) -> Certificates:
    """Certificates, where the sender of the vector has one: at no other address than the request names."""
    named = vector["headers"].get("PAYPAL-CERT-URL")

    def get(url: str) -> Answer:
        content = certificate_of(vector, FOLDER / "paypal")
        return Answer(200, {}, content) if content and url == named else Answer(404, {}, b"")

    return Certificates(paypal.InMemory(), get)


def demanded_body(folder: Path, vector: dict[str, Any]) -> bytes | None:
    """The body that the vendor wants in the answer; None if any will do."""
    demanded: dict[str, str] = vector.get("expect_response", {})
    if "body_file" in demanded:
        return (folder / demanded["body_file"]).read_bytes()
    return demanded["body"].encode() if "body" in demanded else None


def test_every_folder_that_is_named_here_is_shipped() -> None:
    names = {source_of(file, read_vector(file)) for file in VECTORS} - {MADE}

    assert {name for name in names if not (MAPPINGS / name / "mapping.yaml").exists()} == set()


def test_exceptions_are_of_vectors_that_exist() -> None:
    names = {f"{file.parent.name}/{file.stem}" for file in VECTORS}

    assert IN_ANOTHER_SCHEME | OTHER_STATUS.keys() <= names


@pytest.mark.parametrize(("source", "folder", "vector", "status"), list(vectors()))
def test_a_recorded_request_gets_its_verdict(
    source: str, folder: Path, vector: dict[str, Any], status: int, tmp_path: Path
) -> None:
    query = urlsplit(vector["url"]).query
    with running(tmp_path, source, vector) as application:
        answer = requests.request(
            vector["method"],
            application.url + (f"?{query}" if query else ""),
            data=(folder / vector["body_file"]).read_bytes(),
            headers=vector["headers"],
            timeout=10,
        )

    assert answer.status_code == status, answer.text
    demanded = demanded_body(folder, vector)
    if status == 200 and demanded is not None:
        assert without_layout(answer.content) == without_layout(demanded)


def test_a_request_whose_certificate_cannot_be_had_is_to_come_again_and_is_kept(tmp_path: Path) -> None:
    folder = FOLDER / "paypal"
    vector = read_vector(folder / "vector.json")
    gone = Certificates(paypal.InMemory(), lambda _: Answer(404, {}, b""))
    with running(tmp_path, "paypal", vector, gone) as application:
        answer = requests.post(
            application.url,
            data=(folder / vector["body_file"]).read_bytes(),
            headers=vector["headers"],
            timeout=10,
        )

        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "10"
        assert answer.json()["code"] == "certificate_unavailable"
        assert answer.json()["detail"] == (
            "The certificate that verifies the request cannot be had now. Send it again later."
        )
        with application.store.read() as connection:
            (kept,) = connection.execute(select(tables.requests)).all()
        assert kept.reason == "certificate_unavailable"
        assert "api.sandbox.paypal.com: it answered 404" in kept.detail
        verifier = Verifier(certificates_of(vector))
        replay = Replay(
            application.store, MAIN_ACCOUNT, application.sources, now, verifier, max_body_bytes=MIB
        )
        assert replay.accept_rejected(Selection(), lambda _: None) == Counts(1, 1, 1, 0)


def without_layout(body: bytes) -> bytes:
    """The body without the space that XML does not mind: between elements, and between attributes."""
    return b" ".join(body.split()).replace(b"> <", b"><")
