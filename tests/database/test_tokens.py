"""OAuth: one worker fetches the access token for all, in time, and nobody hammers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
from sqlalchemy import text

from integration.core.durations import TOKEN_LEASE_SECONDS
from integration.core.errors import StoreUnavailableError
from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, Cause
from integration.http.client import Client
from integration.http.oauth import Credentials, Grant, TokenUnavailableError, refresh
from integration.hubspot.hubspot_token import oauth_at
from integration.pipeline.shared_token import SharedToken
from integration.sandbox import SandboxServer, run_sandbox
from integration.store import token_rows
from integration.store.engine import Store

SECOND = MICROS_PER_SECOND
START = 1_764_000_000 * SECOND
CREDENTIALS = Credentials("client", "client-secret", "refresh-token")


class Hub:
    """Grants tokens for half an hour, and counts them."""

    def __init__(self) -> None:
        self.now = START
        self.granted = 0
        self.revoked = False
        self.rotates = False
        self.seconds = 1800
        self.asked_with: list[str] = []

    def fetch(self, credentials: Credentials) -> Grant:
        self.asked_with.append(credentials.refresh_token)
        if self.revoked:
            raise TokenUnavailableError(Cause("grant_revoked", "the grant is revoked", "install it again"))
        self.granted += 1
        given_back = f"refresh-{self.granted}" if self.rotates else credentials.refresh_token
        return Grant(f"token-{self.granted}", self.seconds, given_back)

    def token(
        self,
        store: Store,
        secret: str = "client-secret",
        refresh_token: str = "refresh",
        name: str = token_rows.HUBSPOT,
    ) -> SharedToken:
        credentials = Credentials("client", secret, refresh_token)
        return SharedToken(store, MAIN_ACCOUNT, name, lambda: self.now, credentials, fetch=self.fetch)


@pytest.fixture
def hub() -> Hub:
    return Hub()


def test_one_token_serves_all_workers_and_restarts(store: Store, hub: Hub) -> None:
    assert [hub.token(store).value() for _ in range(3)] == ["token-1"] * 3
    assert hub.granted == 1


def test_a_worker_that_stalled_beyond_its_lease_takes_over_what_another_brought(
    store: Store, hub: Hub
) -> None:
    hub.rotates = True
    slow, fast = hub.token(store), hub.token(store)
    at_once = hub.fetch

    def stalls(credentials: Credentials) -> Grant:
        grant = at_once(credentials)
        hub.now += 60 * SECOND
        assert fast.value() == "token-2"
        return grant

    slow._fetch = stalls

    assert slow.value() == "token-2"
    assert hub.token(store).value() == "token-2"
    hub.now += 1800 * SECOND
    assert fast.value() == "token-3"
    assert hub.asked_with[-1] == "refresh-2"


def test_it_is_renewed_five_minutes_before_it_expires(store: Store, hub: Hub) -> None:
    one, other = hub.token(store), hub.token(store)
    assert (one.value(), other.value()) == ("token-1", "token-1")
    hub.now += 1499 * SECOND
    assert one.value() == "token-1"
    hub.now += 2 * SECOND
    assert (one.value(), other.value()) == ("token-2", "token-2")


def test_one_that_lives_for_five_minutes_is_used_for_half_of_them(store: Store, hub: Hub) -> None:
    hub.seconds = 300
    one, other = hub.token(store), hub.token(store)
    assert (one.value(), other.value(), one.value()) == ("token-1",) * 3
    hub.now += 149 * SECOND
    assert hub.token(store).value() == "token-1"
    hub.now += 2 * SECOND
    assert (one.value(), other.value()) == ("token-2", "token-2")


def test_a_token_that_hubspot_calls_expired_is_replaced_once(store: Store, hub: Hub) -> None:
    one, other = hub.token(store), hub.token(store)
    assert (one.value(), other.value()) == ("token-1", "token-1")
    assert one.expired("token-1")
    assert one.value() == "token-2"
    assert other.expired("token-1"), "it learnt of it later"
    assert other.value() == "token-2"
    assert hub.granted == 2


def test_many_threads_at_once_fetch_it_once(store: Store, hub: Hub) -> None:
    found: list[str] = []
    shared = [hub.token(store) for _ in range(4)]
    threads = [threading.Thread(target=lambda token=token: found.append(token.value())) for token in shared]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["token-1"] * 4


def test_a_revoked_grant_says_what_to_do_and_is_not_asked_again_at_once(store: Store, hub: Hub) -> None:
    hub.revoked = True
    with pytest.raises(TokenUnavailableError) as caught:
        hub.token(store).value()
    assert caught.value.cause.code == "grant_revoked"
    hub.revoked = False
    hub.now += 6 * SECOND
    assert hub.token(store).value() == "token-1"


def test_a_token_that_is_still_good_outlives_a_failed_refresh(store: Store, hub: Hub) -> None:
    token = hub.token(store)
    assert token.value() == "token-1"
    hub.now += 1600 * SECOND
    hub.revoked = True
    assert token.value() == "token-1"


def test_the_store_holds_no_token_in_the_clear(store: Store, hub: Hub) -> None:
    hub.token(store).value()
    with store.read() as connection:
        (sealed,) = connection.execute(text("SELECT sealed FROM tokens")).scalars()
    assert sealed
    assert "token-1" not in sealed
    assert hub.token(store, secret="another secret").value() == "token-2", "nobody else can open it"


def test_the_refresh_token_that_comes_back_is_used_next_by_every_worker(store: Store, hub: Hub) -> None:
    hub.rotates = True
    assert hub.token(store).value() == "token-1"
    hub.now += 1600 * SECOND
    assert hub.token(store).value() == "token-2"
    hub.now += 1600 * SECOND
    assert hub.token(store).value() == "token-3"
    assert hub.asked_with == ["refresh", "refresh-1", "refresh-2"]
    with store.read() as connection:
        (sealed,) = connection.execute(text("SELECT sealed_refresh FROM tokens")).scalars()
    assert sealed
    assert "refresh" not in sealed


def test_what_could_not_be_committed_is_not_used_and_the_refresh_token_from_before_asks_again(
    store: Store, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.rotates = True
    token = hub.token(store)
    assert token.value() == "token-1"
    hub.now += 1801 * SECOND
    with monkeypatch.context() as broken:
        broken.setattr(token_rows, "put_token", raising)
        with pytest.raises(StoreUnavailableError):
            token.value()

    hub.now += (TOKEN_LEASE_SECONDS + 1) * SECOND
    assert token.value() == "token-3"
    assert hub.token(store).value() == "token-3", "as every worker, also after a restart"
    assert hub.asked_with == ["refresh", "refresh-1", "refresh-1"]


def raising(*_: object) -> None:
    raise OSError("the disk is full")


def test_another_grant_in_the_settings_ends_the_tokens_of_the_old_one(store: Store, hub: Hub) -> None:
    hub.rotates = True
    assert hub.token(store).value() == "token-1"
    assert hub.token(store, refresh_token="of another account").value() == "token-2"
    assert hub.asked_with == ["refresh", "of another account"]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with run_sandbox(0) as server:
        yield server


def test_a_refresh_token_becomes_an_access_token(sandbox: SandboxServer) -> None:
    grant = refresh(Client(), oauth_at(sandbox.url), CREDENTIALS)
    assert grant.access_token
    assert grant.expires_in == 1800
    assert grant.access_token not in repr(grant)
    assert grant.refresh_token == "refresh-token"
    assert grant.refresh_token not in repr(grant)
    assert "secret" not in repr(CREDENTIALS)


def test_a_revoked_grant_is_told_apart_from_trouble_that_passes(sandbox: SandboxServer) -> None:
    requests.post(f"{sandbox.url}/_sandbox/oauth", json={"revoked": True}, timeout=5).raise_for_status()
    with pytest.raises(TokenUnavailableError) as revoked:
        refresh(Client(), oauth_at(sandbox.url), CREDENTIALS)
    assert revoked.value.cause.code == "grant_revoked"
    assert "set HUBSPOT_REFRESH_TOKEN to the new refresh token" in revoked.value.cause.cure
    with pytest.raises(TokenUnavailableError) as unreachable:
        refresh(Client(), oauth_at("http://127.0.0.1:9"), CREDENTIALS)
    assert unreachable.value.cause.code == "token_unavailable"
    assert "connection refused" in unreachable.value.cause.detail
