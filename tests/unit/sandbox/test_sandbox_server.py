from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest
import requests

from integration.core.settings import RateLimit
from integration.core.values import Outcome, Write
from integration.http.oauth import StaticToken
from integration.hubspot.caller import Caller
from integration.hubspot.leads_v1 import LeadsV1
from integration.sandbox import SandboxError, SandboxServer, run_sandbox

GUID = "8a41f2f22906b93a012906b9438f0008"
TOKEN = "secret-token"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0) as server:
        requests.put(f"{server.url}/_sandbox/leads/{GUID}", json={}, timeout=5)
        yield server


def send(server: SandboxServer, **fields: str) -> Outcome:
    destination = LeadsV1(Caller(server.url, seconds=5), StaticToken(TOKEN))
    (outcome,) = destination.send([Write("lead", {"guid": GUID}, fields)])
    return outcome


def lead(server: SandboxServer) -> dict[str, object]:
    return dict(requests.get(f"{server.url}/_sandbox/leads/{GUID}", timeout=5).json())


class TestServer:
    def test_takes_what_leadwire_sends(self, sandbox: SandboxServer) -> None:
        assert send(sandbox, city="Cambridge", closedAt="1323293954000") == Outcome("done", 200)
        assert (lead(sandbox)["city"], lead(sandbox)["isCustomer"]) == ("Cambridge", True)

    def test_keeps_a_connection_whatever_it_answers(self, sandbox: SandboxServer) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
        statuses, sockets = [], set()
        for path in (
            f"/leads/v1/lead/{GUID}",
            "/leads/v1/lead/x?access_token=t",
            "/elsewhere",
            "/leads/v1/list",
        ):
            connection.request("PUT", path, b'{"a": "unread"}' * 100, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            sockets.add(connection.sock)
        connection.close()
        assert statuses == [401, 404, 404, 405]
        assert len(sockets) == 1

    @pytest.mark.parametrize(("after", "city"), [(False, ""), (True, "Cambridge")])
    def test_cuts_the_connection_when_told(self, sandbox: SandboxServer, after: bool, city: str) -> None:
        fault = {"drop": True, "count": 1, "after": after}
        requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=5)
        outcome = send(sandbox, city="Cambridge")
        assert outcome.kind == "again"
        assert outcome.cause is not None
        assert "connection cut" in outcome.cause.detail
        assert lead(sandbox)["city"] == city
        (entry,) = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=5).json()
        assert (entry["status"], entry["applied"]) == (None, after)
        assert send(sandbox, city="Boston").kind == "done"

    def test_delays_one_request_and_not_the_others(self, sandbox: SandboxServer) -> None:
        fault = {"delay_ms": 60_000, "guid": GUID}
        requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=5)
        slow = threading.Thread(target=send, args=(sandbox,), kwargs={"city": "x"}, daemon=True)
        slow.start()
        listed = requests.get(f"{sandbox.url}/leads/v1/list?access_token=t", timeout=5)
        assert listed.status_code == 200
        sandbox.close()
        slow.join(timeout=10)
        assert not slow.is_alive()

    def test_never_lets_more_through_than_the_limit(self) -> None:
        with run_sandbox(0, RateLimit(5, 60)) as server:
            kinds: list[str] = []
            threads = [threading.Thread(target=lambda: kinds.append(send(server).kind)) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stats = requests.get(f"{server.url}/_sandbox/stats", timeout=5).json()
        assert sorted(kinds) == ["again"] * 7 + ["not_found"] * 5
        assert (stats["requests"], stats["refused"]) == (12, 7)

    def test_is_gone_after_close(self, sandbox: SandboxServer) -> None:
        with requests.Session() as session:
            assert session.get(f"{sandbox.url}/_sandbox/leads", timeout=5).status_code == 200
            sandbox.close()
            with pytest.raises(requests.ConnectionError):
                session.get(f"{sandbox.url}/_sandbox/leads", timeout=5)

    def test_may_be_closed_twice(self, sandbox: SandboxServer) -> None:
        sandbox.close()
        sandbox.close()
        sandbox.wait()

    def test_says_when_the_port_is_taken(self, sandbox: SandboxServer) -> None:
        with pytest.raises(
            SandboxError, match=rf"cannot listen on 127\.0\.0\.1:{sandbox.port}: .*another --port"
        ):
            run_sandbox(sandbox.port)

    def test_prints_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        with run_sandbox(0) as server:
            send(server, city="x")
            fault = {"drop": True, "count": 1}
            requests.post(f"{server.url}/_sandbox/faults", json=fault, timeout=5)
            send(server, city="x")
        assert capfd.readouterr() == ("", "")
