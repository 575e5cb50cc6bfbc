"""Tokens of HubSpot and of sources' APIs: fixed, or renewed by OAuth for all workers."""

from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from cryptography.fernet import Fernet, InvalidToken

from integration.config.sources import Source
from integration.core.clock import Clock, elapsed
from integration.core.durations import TOKEN_LEASE_SECONDS, TOKEN_RETRY_SECONDS
from integration.core.logs import log_action
from integration.core.settings import Settings
from integration.core.values import MICROS_PER_SECOND, Cause, Micros
from integration.core.world import world
from integration.http.client import Client
from integration.http.oauth import (
    Credentials,
    Grant,
    OAuth,
    StaticToken,
    Token,
    TokenUnavailableError,
    refresh,
)
from integration.hubspot.hubspot_token import oauth_at
from integration.store import token_rows
from integration.store.engine import Store
from integration.store.token_rows import StoredToken

log = logging.getLogger(__name__)

EARLY_SECONDS = 300  # renewed so long before it expires, and never before half of its life
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.1


def token_of(settings: Settings, store: Store, account: str, clock: Clock) -> Token:
    """The token that the settings ask for: OAuth where HUBSPOT_REFRESH_TOKEN is set."""
    if not settings.hubspot_refresh_token:
        return StaticToken(settings.hubspot_access_token)
    credentials = Credentials(
        settings.hubspot_client_id, settings.hubspot_client_secret, settings.hubspot_refresh_token
    )
    fetch = partial(refresh, Client(), oauth_at(settings.hubspot_base_url))
    return SharedToken(store, account, token_rows.HUBSPOT, clock, credentials, fetch=fetch)


class SharedToken:
    """An OAuth access token of an account: one worker fetches it for all, before it expires. Safe for several
    threads.

    What the store keeps is sealed with a key made of the credentials: once another grant is set, tokens of
    the old one, perhaps of another HubSpot account, cannot be opened and are not used any more.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        name: str,
        clock: Clock,
        credentials: Credentials,
        *,
        fetch: Callable[[Credentials], Grant],
    ) -> None:
        self._store = store
        self._clock = clock
        self._account = account
        self._name = name
        self._credentials = credentials
        self._fetch = fetch
        self._seal = Fernet(_key(credentials))
        self._lock = world().lock()
        self._known = StoredToken("", 0)
        self._value = ""

    def value(self) -> str:
        """The token; raises TokenUnavailableError if none can be had now."""
        with self._lock:
            if not self._is_fresh():
                self._renew()
            return self._value

    def expired(self, value: str) -> bool:
        """Who was given this token says that it is expired: the next `value` is another one."""
        with self._lock:
            if value == self._value:
                with self._store.write() as connection:
                    token_rows.expire(connection, self._account, self._name, self._known.sealed)
                self._known = replace(self._known, expires_at=0)
        return True

    def _is_good(self) -> bool:
        return bool(self._value) and self._known.expires_at > self._clock()

    def _is_fresh(self) -> bool:
        """Good, and not so near its end that another one should be fetched."""
        return self._is_good() and self._clock() + self._early() < self._known.expires_at

    def _early(self) -> Micros:
        """How long before its end the token is renewed; the seal tells when it was fetched."""
        fetched_at = self._seal.extract_timestamp(self._known.sealed.encode()) * MICROS_PER_SECOND
        return min(EARLY_SECONDS * MICROS_PER_SECOND, (self._known.expires_at - fetched_at) // 2)

    def _renew(self) -> None:
        """Take over the token that another worker fetched, or fetch one."""
        deadline = elapsed() + WAIT_SECONDS
        while True:
            self._look()
            if self._is_fresh():
                return
            if self._lease():
                self._look()  # another worker may have finished between the look and the lease
                if self._is_fresh():
                    self._give_back()
                else:
                    self._fetch_and_keep()
                return
            if self._is_good():  # another worker is at it; this one is still good
                return
            if elapsed() > deadline:
                cure = "nothing to do while it is rare: it is tried again"
                raise TokenUnavailableError(
                    Cause("token_unavailable", "another worker is fetching a new OAuth access token", cure)
                )
            world().sleep(POLL_SECONDS)

    def _look(self) -> None:
        with self._store.read() as connection:
            stored = token_rows.stored_token(connection, self._account, self._name)
        if stored != self._known:
            self._known, self._value = stored, self._opened(stored.sealed)

    def _opened(self, sealed: str) -> str:
        """The token in the clear; "" if there is none, or it was sealed with other credentials."""
        try:
            return self._seal.decrypt(sealed.encode()).decode() if sealed else ""
        except InvalidToken:
            return ""

    def _sealed(self, token: str) -> str:
        return self._seal.encrypt_at_time(token.encode(), self._clock() // MICROS_PER_SECOND).decode()

    def _newest_credentials(self) -> Credentials:
        """The settings' credentials, with the refresh token that was given last if it is another."""
        given = self._opened(self._known.sealed_refresh)
        return replace(self._credentials, refresh_token=given) if given else self._credentials

    def _lease(self) -> bool:
        with self._store.write() as connection:
            now = self._clock()
            until = self._after(now, TOKEN_LEASE_SECONDS)
            return token_rows.lease_refresh(connection, self._account, self._name, now, until)

    def _give_back(self) -> None:
        with self._store.write() as connection:
            token_rows.release_refresh(connection, self._account, self._name, 0)

    def _fetch_and_keep(self) -> None:
        try:
            grant = self._fetch(self._newest_credentials())
        except TokenUnavailableError as error:
            with self._store.write() as connection:
                token_rows.release_refresh(
                    connection, self._account, self._name, self._after(self._clock(), TOKEN_RETRY_SECONDS)
                )
            log_action(
                log, "token.unavailable", error.cause.detail, logging.ERROR,
                account=self._name, cure=error.cause.cure,
            )  # fmt: skip
            if self._is_good():
                return
            raise
        is_new = grant.refresh_token != self._credentials.refresh_token
        renewed = StoredToken(
            self._sealed(grant.access_token),
            self._after(self._clock(), grant.expires_in),
            self._sealed(grant.refresh_token) if is_new else "",
        )
        # Only what is committed is used. Where the commit fails or the process dies before it, the next one
        # asks with the refresh token from before, which vendors that rotate them allow for a while.
        with self._store.write() as connection:
            kept = token_rows.put_token(connection, self._account, self._name, renewed, self._known)
        if not kept:  # this worker stalled beyond its lease, and another one was faster
            self._look()
            return
        self._known, self._value = renewed, grant.access_token
        log_action(
            log,
            "token.renewed",
            "Fetched a new OAuth access token",
            account=self._name,
            seconds=grant.expires_in,
        )

    def _after(self, now: Micros, seconds: int) -> Micros:
        return now + seconds * MICROS_PER_SECOND


TokenOf = Callable[[Source, OAuth], SharedToken]


class SourceTokens:
    """The access tokens for what mappings of an account fetch, by source. Safe for several threads."""

    def __init__(self, store: Store, account: str, clock: Clock, *, allow_private: bool = False) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._client = Client(public_only=not allow_private)
        self._lock = world().lock()
        self._known: dict[tuple[str, OAuth, Credentials], SharedToken] = {}

    def of(self, source: Source, spec: OAuth) -> SharedToken:
        """The token of this source, by the settings as they are now; all of them must be set."""
        client_id, client_secret, refresh_token = (
            source.fetch_settings[name].value if name else ""
            for name in (spec.client_id, spec.client_secret, spec.refresh_token)
        )
        credentials = Credentials(client_id, client_secret, refresh_token, spec.scope)
        with self._lock:
            found = self._known.get((source.name, spec, credentials))
            if found is None:
                self._known = {key: value for key, value in self._known.items() if key[0] != source.name}
                found = SharedToken(
                    self._store,
                    self._account,
                    token_rows.token_of_source(source.name),
                    self._clock,
                    credentials,
                    fetch=partial(refresh, self._client, spec),
                )
                self._known[source.name, spec, credentials] = found
            return found


def _key(credentials: Credentials) -> bytes:
    """A key for Fernet that only who has the client secret and the refresh token can make."""
    secret = credentials.client_secret.encode()
    of_grant = f"leadwire token {credentials.client_id} {credentials.refresh_token or credentials.scope}"
    return base64.urlsafe_b64encode(hmac.digest(secret, of_grant.encode(), "sha256"))
