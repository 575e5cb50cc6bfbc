"""Certificates of senders that verified a genuine request, by address, until they expire.

Only such ones are kept: strangers can make an address up, but no request that a certificate of the sender's
verifies, so they cannot add a row.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.tables import certificates

MOST_KEPT = 256  # for each account; a sender has a handful


def certificate_at(connection: Connection, account: str, address: str, now: Micros) -> bytes | None:
    """The certificate at this address, in PEM, if it verified a request and has not expired."""
    query = select(certificates.c.pem).where(
        certificates.c.account == account, certificates.c.address == address, certificates.c.expires_at > now
    )
    pem: str | None = connection.execute(query).scalar()
    return None if pem is None else pem.encode()


def has_verified(connection: Connection, account: str, address: str) -> bool:
    """Whether the certificate at this address ever verified a request, expired or not."""
    query = select(certificates.c.address).where(
        certificates.c.account == account, certificates.c.address == address
    )
    return connection.execute(query).first() is not None


def keep_certificate(
    connection: Connection, account: str, address: str, pem: bytes, *, expires_at: Micros, now: Micros
) -> None:
    """Keep a certificate that verified a request; those that expire first go where there are too many."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"pem": pem.decode("ascii"), "expires_at": expires_at, "verified_at": now}
    insert = dialect.insert(certificates).values(account=account, address=address, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["account", "address"], set_=values))
    newest = (
        select(certificates.c.address)
        .where(certificates.c.account == account)
        .order_by(certificates.c.expires_at.desc())
        .limit(MOST_KEPT)
    )
    connection.execute(
        delete(certificates).where(
            certificates.c.account == account, certificates.c.address.not_in(newest.scalar_subquery())
        )
    )
