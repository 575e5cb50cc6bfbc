"""The stand-in's answers, held to HubSpot's published OpenAPI specifications (tests/data/openapi)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from integration.sandbox import SandboxServer, run_sandbox

SPECS = Path(__file__).parents[2] / "data" / "openapi"
BASES = {"v3": "/crm/v3/objects/contacts", "2026-09": "/crm/objects/2026-09/contacts"}
TOKEN = "token-of-this-test"


@cache
def spec(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SPECS / name).read_text(encoding="utf-8"))
    return content


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The operation whose path template fits; one without a placeholder before one with."""
    for template in sorted(document["paths"], key=lambda text: text.count("{")):
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in document["paths"][template]:
            found: dict[str, Any] = document["paths"][template][method.lower()]
            return found
    raise AssertionError(f"the specification has no {method} {path}")


def hold_to(document: dict[str, Any], answer: requests.Response, path: str) -> None:
    """Assert that the answer is one that the specification has for this call."""
    responses = operation(document, str(answer.request.method), path)["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    for media in response.get("content", {}).values():
        schema = {"components": document["components"], **media["schema"]}
        Draft202012Validator(schema).validate(answer.json())
        return
    assert answer.content == b""


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0, access_token=TOKEN) as server:
        seeded = {"1": "ann@example.com", "2": "bob@example.com"}
        for id, email in seeded.items():
            requests.put(f"{server.url}/_sandbox/contacts/{id}", json={"email": email}, timeout=5)
        yield server


ROW = {"id": "1", "properties": {"city": "Paris"}}
MISSING = {"id": "9", "properties": {"city": "Paris"}}
BAD = {"id": "1", "properties": {"nothing": "x", "email": "no address"}}
NEW = {"properties": {"email": "new@example.com"}}
UPSERT = {"id": "new@example.com", "idProperty": "email", "properties": {"email": "new@example.com"}}
Call = tuple[str, str, Any, int | None]
CALLS: list[Call] = [
    ("GET", "/1", None, 200),
    ("GET", "/ann@example.com?idProperty=email", None, 200),
    ("GET", "/none", None, 404),
    ("PATCH", "/1", {"properties": {"city": "Paris"}}, 200),
    ("PATCH", "/1", {"properties": {"nothing": "x"}}, 400),
    ("PATCH", "/1", {"properties": {"email": "bob@example.com"}}, 409),
    ("POST", "", NEW, 201),
    ("POST", "", {"properties": {"email": "ann@example.com"}}, 409),
    ("DELETE", "/1", None, 204),
    ("POST", "/batch/read", {"inputs": [{"id": "1"}], "properties": ["email"]}, 200),
    ("POST", "/batch/read", {"inputs": [{"id": "1"}, {"id": "9"}], "properties": ["email"]}, None),
    ("POST", "/batch/update", {"inputs": [ROW]}, 200),
    ("POST", "/batch/update", {"inputs": [ROW, MISSING]}, None),
    ("POST", "/batch/update", {"inputs": [BAD]}, 400),
    ("POST", "/batch/upsert", {"inputs": [UPSERT]}, 200),
    ("POST", "/batch/archive", {"inputs": [{"id": "1"}]}, 204),
    ("POST", "/search", {"filterGroups": [], "limit": 5}, 200),
]


@pytest.mark.parametrize("version", sorted(BASES))
@pytest.mark.parametrize("call", CALLS, ids=[f"{method} {path}" for method, path, *_ in CALLS])
def test_contacts_answer_as_specified(sandbox: SandboxServer, version: str, call: Call) -> None:
    method, path, body, status = call
    url = f"{BASES[version]}{path}"
    answer = requests.request(
        method, f"{sandbox.url}{url}", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5
    )
    some_rows = 207 if version == "v3" else 200
    assert answer.status_code == (status or some_rows), answer.text
    hold_to(spec(f"contacts-{version}.json"), answer, url.partition("?")[0])


def test_an_expired_and_a_missing_token_are_answered_as_specified(sandbox: SandboxServer) -> None:
    url = f"{BASES['2026-09']}/1"
    answer = requests.get(f"{sandbox.url}{url}", timeout=5)
    assert answer.status_code == 401
    hold_to(spec("contacts-2026-09.json"), answer, url)


def test_a_refused_grant_is_answered_as_specified(sandbox: SandboxServer) -> None:
    """The specification has the errors of the token endpoint only."""
    path = "/oauth/2026-09/token"
    answer = requests.post(f"{sandbox.url}{path}", data={"grant_type": "password"}, timeout=5)
    assert answer.status_code == 400
    hold_to(spec("oauth-2026-09.json"), answer, path)
