"""Access tokens of an account that all workers share, by name, sealed: only who has the client secret can
read one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.account_keys import key_in
from integration.store.tables import tokens

HUBSPOT = "hubspot"


def token_of_source(source: str) -> str:
    """The name of a source's token."""
    return f"source:{source}"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A sealed access token ("" before the first) and when it expires; and the sealed refresh token that came
    with it, "" if it is that of the settings.
    """

    sealed: str
    expires_at: Micros
    sealed_refresh: str = ""


def stored_token(connection: Connection, account: str, name: str) -> StoredToken:
    """The newest token of this name: HUBSPOT, or that of a source that something is fetched for."""
    columns = (tokens.c.sealed, tokens.c.expires_at, tokens.c.sealed_refresh)
    row = connection.execute(select(*columns).where(_is(account, name))).one_or_none()
    return StoredToken(row.sealed, row.expires_at, row.sealed_refresh) if row else StoredToken("", 0)


def lease_refresh(connection: Connection, account: str, name: str, now: Micros, until: Micros) -> bool:
    """Take the right to fetch a new token until `until`. False if another worker has it."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(tokens).on_conflict_do_nothing(), [{"account": key_in(account, name)}])
    free = update(tokens).where(_is(account, name), tokens.c.leased_until <= now)
    return connection.execute(free.values(leased_until=until)).rowcount == 1


def put_token(
    connection: Connection, account: str, name: str, token: StoredToken, before: StoredToken
) -> bool:
    """Keep a new token in the place of `before`, and give the right to fetch one back. False, and nothing is
    changed, if another worker put one there meanwhile.
    """
    mine = update(tokens).where(_is(account, name), tokens.c.sealed == before.sealed)
    values = {"sealed": token.sealed, "expires_at": token.expires_at, "sealed_refresh": token.sealed_refresh}
    return connection.execute(mine.values(**values, leased_until=0)).rowcount == 1


def expire(connection: Connection, account: str, name: str, sealed: str) -> None:
    """This token does not work any more; a newer one is left alone."""
    old = update(tokens).where(_is(account, name), tokens.c.sealed == sealed)
    connection.execute(old.values(expires_at=0))


def release_refresh(connection: Connection, account: str, name: str, until: Micros) -> None:
    """Fetching failed: nobody tries again before `until`."""
    connection.execute(update(tokens).where(_is(account, name)).values(leased_until=until))


def _is(account: str, name: str) -> ColumnElement[bool]:
    return tokens.c.account == key_in(account, name)
