"""Bad input over real HTTP: each gets a clear answer, nothing is lost, and the server goes on."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration.core.values import MAIN_ACCOUNT
from integration.store.engine import Store
from integration.store.views.event_views import list_events
from integration.store.views.request_views import list_rejected
from tests.acceptance.deployment import Deployment, sign, signed

MAX_BODY = 64 * 1024


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("bad-input")
    url = f"sqlite:///{folder}/leadwire.db"
    settings: dict[str, Any] = {
        "MAX_BODY_BYTES": str(MAX_BODY),
        "WEB_CONCURRENCY": "1",
        "BLANK_SECRET": " ",
        "SET_SECRET": "made up",
        "METRICS_TOKEN": "shown",
    }
    with Deployment(url, folder, workers=1, **settings) as deployment:
        broken = folder / "mappings" / "broken"
        broken.mkdir()
        (broken / "mapping.yaml").write_text("version: 1\nsource: broken\nevnts: 3\n")
        unset = folder / "mappings" / "unset"
        unset.mkdir()
        text = (folder / "mappings" / "shop" / "mapping.yaml").read_text()
        text = text.replace("source: shop", "source: unset").replace("SHOP_SECRET", "UNSET_SECRET")
        (unset / "mapping.yaml").write_text(text)
        deployment.wait_until(
            lambda: post_raw(deployment, b"{}", source="unset").status_code == 503, "it is seen"
        )
        yield deployment


def post_raw(
    deployment: Deployment, body: bytes, source: str = "shop", *, signature: str | None = None, **headers: str
) -> requests.Response:
    """Post bytes with a good signature unless another is given."""
    default = {"Content-Type": "application/json", "Stripe-Signature": signature or sign(body)}
    sent = default | {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{deployment.url}/hooks/{source}", data=body, headers=sent, timeout=10)


def rejected(deployment: Deployment) -> tuple[str, str]:
    """Reason and detail of the newest rejected request."""
    store = Store(deployment.environment["DATABASE_URL"])
    with store.read() as connection:
        (line,) = list_rejected(connection, MAIN_ACCOUNT, limit=1, source="shop", before=None)
    store.dispose()
    return line.reason, line.detail


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("t=1,v1=00", "signature_mismatch"),
        ("garbage", "malformed_header"),
        ("t=1759000000,v1=" + "é" * 64, "malformed_header"),
    ],
)
def test_every_verification_failure_is_one_401_outside_and_its_reason_inside(
    deployment: Deployment, signature: str, reason: str
) -> None:
    body = b'{"id": "evt_bad"}'
    headers: dict[str, str | bytes | None] = {"Stripe-Signature": signature.encode("latin-1", "replace")}
    answer = requests.post(f"{deployment.url}/hooks/shop", data=body, headers=headers, timeout=10)

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Unauthorized",
        "status": 401,
        "code": "not_verified",
        "detail": "The request could not be verified.",
    }
    assert rejected(deployment)[0] == reason


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"not json", 400, "malformed_body", "JSON"),
        (b'"text"', 400, "malformed_body", "object"),
        (b'{"id": NaN}', 400, "malformed_body", "NaN"),
        (b'{"id": "a", "id": "b"}', 400, "malformed_body", "id"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "malformed_body", "levels"),
        (b'{"id": "\xff"}', 400, "malformed_body", "UTF-8"),
        (b'{"id": ' + b"9" * 5000 + b"}", 400, "malformed_body", "digits"),
        (b'{"id": "half', 400, "malformed_body", "JSON"),
        (b"", 400, "malformed_body", "empty"),
    ],
    ids=[
        "text",
        "no object",
        "NaN",
        "duplicate key",
        "10,000 levels",
        "UTF-8",
        "long number",
        "half",
        "empty",
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_words(
    deployment: Deployment, body: bytes, status: int, code: str, words: str
) -> None:
    answer = post_raw(deployment, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["detail"]
    assert rejected(deployment) == (code, answer.json()["detail"])


def test_a_200_digit_number_is_taken(deployment: Deployment) -> None:
    answer = post_raw(deployment, b'{"id": "evt_200", "type": "x", "at": 1, "score": ' + b"9" * 200 + b"}")

    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")


def test_a_gzip_body_is_read_within_the_limit(deployment: Deployment) -> None:
    body = gzip.compress(json.dumps({"id": "evt_gzip", "type": "x", "at": 1}).encode())

    assert post_raw(deployment, body, Content_Encoding="gzip").json()["status"] == "accepted"


def test_a_gzip_bomb_is_refused(deployment: Deployment) -> None:
    bomb = gzip.compress(b"0" * (MAX_BODY * 100))
    assert len(bomb) < MAX_BODY

    answer = post_raw(deployment, bomb, Content_Encoding="gzip")

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("header", [{"Content_Encoding": "br"}, {"Content_Type": "text/csv"}])
def test_a_body_of_another_kind_is_415(deployment: Deployment, header: dict[str, str]) -> None:
    assert post_raw(deployment, b"a,b", **header).status_code == 415


def test_a_form_is_taken(deployment: Deployment) -> None:
    body = b"id=evt_form&type=x&at=1"

    answer = post_raw(deployment, body, Content_Type="application/x-www-form-urlencoded")

    assert answer.json()["status"] == "accepted"


def test_a_body_over_the_limit_is_413_without_being_read(deployment: Deployment) -> None:
    answer = post_raw(deployment, b"x" * (MAX_BODY + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert rejected(deployment)[0] == "body_too_large"


def test_a_chunked_body_over_the_limit_is_413(deployment: Deployment) -> None:
    chunks = (b"x" * 8192 for _ in range(20))
    answer = requests.post(
        f"{deployment.url}/hooks/shop", data=chunks, headers={"Content-Type": "application/json"}, timeout=10
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def send_bytes(deployment: Deployment, data: bytes, *, half_close: bool = True) -> bytes:
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=10) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_half_a_body_is_400_and_kept_as_rejected(deployment: Deployment) -> None:
    head = b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100"

    answer = send_bytes(deployment, head + b"\r\n\r\n{")

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Content-Length says 100 bytes, but the body ended after 1." in answer
    assert rejected(deployment)[0] == "incomplete_body"


@pytest.mark.parametrize("length", [b"abc", b"-5", b"1, 2"])
def test_a_wrong_content_length_is_400(deployment: Deployment, length: bytes) -> None:
    request = b"POST /hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{}"

    assert b" 400 " in send_bytes(deployment, request).split(b"\r\n")[0]


def test_an_unknown_source_is_404_and_a_get_405(deployment: Deployment) -> None:
    assert post_raw(deployment, b"{}", source="nobody").json()["code"] == "unknown_source"
    assert post_raw(deployment, b"{}", source="nobody").status_code == 404
    answer = requests.get(f"{deployment.url}/hooks/shop", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")


@pytest.mark.parametrize("path", ["/hooks//shop", "/hooks/shop/", "/hooks"])
def test_an_address_that_is_nearly_right_is_404_and_no_redirect(deployment: Deployment, path: str) -> None:
    answer = requests.post(f"{deployment.url}{path}", data=b"{}", timeout=10, allow_redirects=False)

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_source_without_secret_names_the_missing_setting(deployment: Deployment) -> None:
    answer = post_raw(deployment, b"{}", source="unset")

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
    assert answer.json()["detail"] == "The source unset is not configured: set UNSET_SECRET."
    assert answer.headers["Retry-After"]


def test_a_mapping_that_was_never_good_is_503_for_its_source_only(deployment: Deployment) -> None:
    answer = post_raw(deployment, b"{}", source="broken")

    assert (answer.status_code, answer.json()["code"]) == (503, "mapping_has_problems")
    assert answer.json()["detail"] == "The mapping of broken has a problem. Send the request again later."
    ready = requests.get(f"{deployment.url}/readyz", timeout=10)
    assert ready.status_code == 200
    assert any("mapping files have mistakes" in reason or "has mistakes" in reason
               for reason in ready.json()["reasons"])  # fmt: skip
    assert "broken" not in ready.text
    shown = requests.get(f"{deployment.url}/readyz", headers={"Authorization": "Bearer shown"}, timeout=10)
    assert any(
        "mappings/broken/mapping.yaml:1: 'verify' is missing" in text for text in shown.json()["reasons"]
    )


HALF_CONFIGURED = {
    "unknown-scheme": ({"scheme": "magic", "secrets": ["SET_SECRET"]}, "mapping_has_problems"),
    "no-scheme": ({"secrets": ["SET_SECRET"]}, "mapping_has_problems"),
    "no-secrets": ({"scheme": "token", "secrets": []}, "mapping_has_problems"),
    "no-header": ({"scheme": "hmac", "secrets": ["SET_SECRET"]}, "mapping_has_problems"),
    "nothing-signed": (
        {"scheme": "hmac", "secrets": ["SET_SECRET"], "header": "X-Sign", "template": "{url}"},
        "mapping_has_problems",
    ),
    "blank-secret": ({"scheme": "token", "header": "X-Token", "secrets": ["BLANK_SECRET"]}, "not_configured"),
}


@pytest.mark.parametrize("name", HALF_CONFIGURED)
def test_a_source_whose_verification_is_unknown_or_half_configured_accepts_nothing(
    deployment: Deployment, name: str
) -> None:
    verify, code = HALF_CONFIGURED[name]
    blocks = {"event": {"type": "type"}, "lead": {"guid": "guid"}}
    rules = [{"name": "all", "events": ["*"], "set": {"city": "city"}}]
    mapping = {"version": 1, "source": name, "verify": verify, **blocks, "rules": rules}
    file = deployment.folder / "mappings" / name / "mapping.yaml"
    file.parent.mkdir()
    file.write_text(json.dumps(mapping))

    def post() -> requests.Response:
        return post_raw(deployment, b'{"type": "x", "guid": "g"}', source=name, X_Token="", X_Sign="00")

    deployment.wait_until(lambda: post().status_code != 404, "the new folder is seen")

    assert (post().status_code, post().json()["code"]) == (503, code)
    assert state_of(deployment, name) == ("", "")


def test_a_body_that_arrives_in_pieces_is_whole_even_within_a_character(deployment: Deployment) -> None:
    guid = "8a41f2f22906b93a012906b9438f0001"
    deployment.seed_lead(guid)
    event = {"id": "evt_pieces", "type": "x", "at": 1_700_000_000_000, "guid": guid, "city": "Zo\u00eb"}
    body = json.dumps(event, ensure_ascii=False).encode()
    first, second = body[: body.index(b"\xc3") + 1], body[body.index(b"\xc3") + 1 :]
    head = f"Host: x\r\nContent-Length: {len(body)}\r\nStripe-Signature: {sign(body)}\r\nConnection: close"
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"POST /hooks/shop HTTP/1.1\r\n{head}\r\n\r\n".encode() + first)
        time.sleep(0.2)  # so that the pieces are read one by one
        connection.sendall(second)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200")
    deployment.wait_until(lambda: deployment.lead(guid).get("city") == "Zo\u00eb", "the PUT has the text")


def test_an_unknown_event_type_is_accepted_and_ignored_with_the_reason(deployment: Deployment) -> None:
    mapping = deployment.folder / "mappings" / "picky" / "mapping.yaml"
    mapping.parent.mkdir()
    text = (deployment.folder / "mappings" / "shop" / "mapping.yaml").read_text()
    mapping.write_text(text.replace("source: shop", "source: picky").replace('["*"]', "[only.this]"))
    body = json.dumps({"id": "evt_other", "type": "other", "at": 1, "guid": "g"}).encode()
    deployment.wait_until(
        lambda: post_raw(deployment, body, source="picky").ok, "the new mapping is picked up"
    )

    deployment.wait_until(lambda: state_of(deployment, "picky")[0] == "ignored", "the event is settled")

    assert state_of(deployment, "picky")[1] == "no rule for event type other"


def test_a_missing_lead_and_a_wrong_type_are_dead_letters_with_their_place(deployment: Deployment) -> None:
    body = {"id": "evt_no_lead", "type": "x", "at": 1_700_000_000_000, "city": "Berlin"}
    assert deployment.post(body).ok
    deployment.wait_until(lambda: state_of(deployment, "shop")[0] == "dead", "the event is settled")
    assert "guid" in state_of(deployment, "shop")[1]

    body = {"id": "evt_type", "type": "x", "at": 1_700_000_000_000, "guid": "g", "score": "many"}
    assert deployment.post(body).ok
    deployment.wait_until(lambda: "score" in state_of(deployment, "shop")[1], "the event is settled")
    state, detail = state_of(deployment, "shop")
    assert state == "dead"
    assert "'many'" in detail
    assert "mappings/shop/mapping.yaml:20" in detail


def state_of(deployment: Deployment, source: str) -> tuple[str, str]:
    """State and detail of the newest event of a source."""
    store = Store(deployment.environment["DATABASE_URL"])
    with store.read() as connection:
        lines = list_events(connection, MAIN_ACCOUNT, limit=1, source=source, before=None, state=None)
    store.dispose()
    return (lines[0].state, lines[0].cause.detail if lines[0].cause else "") if lines else ("", "")


def test_duplicates_are_answered_as_such_and_name_the_first(deployment: Deployment) -> None:
    body, headers = signed({"id": "evt_twice", "type": "x", "at": 1, "guid": "g"})
    url = f"{deployment.url}/hooks/shop"

    first = requests.post(url, data=body, headers=headers, timeout=10).json()
    second = requests.post(url, data=body, headers=headers, timeout=10).json()

    assert (first["status"], second["status"]) == ("accepted", "duplicate")
    assert first["id"] == second["id"]


def test_the_token_and_the_secret_are_in_no_log_and_no_row(deployment: Deployment) -> None:
    secret, token = deployment.environment["SHOP_SECRET"], deployment.environment["HUBSPOT_ACCESS_TOKEN"]
    assert deployment.post({"id": "evt_quiet", "type": "x", "at": 1, "guid": "0" * 32, "city": "Rome"}).ok

    for file in [*deployment.folder.glob("*.log"), *deployment.folder.glob("leadwire.db*")]:
        content = file.read_bytes()
        assert secret.encode() not in content, file
        assert token.encode() not in content, file


def test_metrics_count_what_happened(deployment: Deployment) -> None:
    event = {"id": "evt_counted", "type": "x", "at": 1, "guid": "0" * 32, "city": "Rome"}
    assert deployment.post(event).json()["status"] == "accepted"
    assert deployment.post(event).json()["status"] == "duplicate"
    body = json.dumps(event).encode()
    stamp = sign(body).partition(",")[0]
    assert post_raw(deployment, body, signature=f"{stamp},v1=00").status_code == 401
    headers = {"Authorization": "Bearer shown"}
    text = requests.get(f"{deployment.url}/metrics", headers=headers, timeout=10).text

    assert 'leadwire_accepted_total{source="shop"}' in text
    assert 'leadwire_rejected_total{reason="signature_mismatch",source="shop"}' in text
    assert 'leadwire_duplicates_total{source="shop"}' in text
    assert "leadwire_events_received " in text
