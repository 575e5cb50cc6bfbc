"""401 says by `WWW-Authenticate` what it asks for, and senders that wait to be asked are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.request import HTTPBasicAuthHandler, Request, build_opener

import pytest
import requests

from integration.config.sources import Sources
from integration.core.settings import Settings
from integration.web.app import create_app
from tests.acceptance.served import MADE, MAPPINGS, made, served

SENT_TO = "https://hooks.example.com/hooks/made"
NOW = 1_759_000_000
SECRET = "hook:s3cret"
BODY = b'{"guid": "8a41f2f22906b93a012906b9438f0008", "city": "Ulm"}'
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("verify", "headers", "expected"),
    [
        ({"scheme": "basic"}, {"Authorization": "Basic Zm9v"}, 'Basic realm="leadwire", charset="UTF-8"'),
        ({"scheme": "token"}, {"Authorization": "Bearer guess"}, 'Bearer realm="leadwire"'),
        ({"scheme": "token", "header": "X-Token"}, {"X-Token": "guess"}, 'Token realm="leadwire"'),
        ({"scheme": "stripe"}, {"Stripe-Signature": "t=1759000000,v1=00"}, 'Signature realm="leadwire"'),
    ],
    ids=["basic", "bearer", "token", "signature"],
)
def test_every_reason_gets_the_same_challenge(
    verify: dict[str, Any], headers: dict[str, str], expected: str, tmp_path: Path
) -> None:
    with served(made(tmp_path, verify), MADE, SECRET, sent_to=SENT_TO, now=NOW) as application:
        garbage = dict.fromkeys(headers, "\x7f")
        sent: list[dict[str, str]] = [{}, garbage, headers]
        answers = [
            requests.post(application.url, data=BODY, headers={**JSON, **one}, timeout=10) for one in sent
        ]

        assert [(answer.status_code, answer.headers["WWW-Authenticate"]) for answer in answers] == [
            (401, expected)
        ] * 3
        assert len({answer.text for answer in answers}) == 1
        assert application.stored == (0, 3)


def test_a_sender_that_waits_to_be_asked_for_its_password_gets_through(tmp_path: Path) -> None:
    mappings = made(tmp_path, {"scheme": "basic"})
    with served(mappings, MADE, SECRET, sent_to=SENT_TO, now=NOW) as application:
        user, _, password = SECRET.partition(":")
        credentials = HTTPBasicAuthHandler()
        credentials.add_password("leadwire", application.url, user, password)
        request = Request(application.url, BODY, JSON)

        with build_opener(credentials).open(request, timeout=10) as answer:
            assert answer.status == 200
        assert application.stored == (1, 1)


def test_metrics_ask_for_their_token(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/leadwire.db"
    settings = Settings.read({"DATABASE_URL": database, "METRICS_TOKEN": "m3trics"})
    sources = Sources(MAPPINGS, {}, only_configured=True)
    answer = create_app(settings, sources).test_client().get("/metrics")

    assert (answer.status_code, answer.json and answer.json["code"]) == (401, "not_authorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="leadwire"'


def test_only_401_asks_for_something(tmp_path: Path) -> None:
    with served(made(tmp_path, {"scheme": "basic"}), MADE, SECRET, sent_to=SENT_TO, now=NOW) as application:
        bad = requests.post(application.url, data=b"{", auth=("hook", "s3cret"), headers=JSON, timeout=10)
        unknown = requests.post(f"{application.url}-elsewhere", data=BODY, timeout=10)

        assert [(answer.status_code, "WWW-Authenticate" in answer.headers) for answer in (bad, unknown)] == [
            (400, False),
            (404, False),
        ]
