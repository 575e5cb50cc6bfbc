"""Pauses of sources' APIs, and certificates of senders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.Text().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Two tables that old code does not know."""
    op.create_table(
        "pauses",
        sa.Column("account", _KEY, server_default="main", nullable=False),
        sa.Column("subject", _KEY, nullable=False, comment="'source:', source: nothing is fetched for it"),
        sa.Column("paused_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "pauses",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="in a row; the next one is longer",
        ),
        sa.Column(
            "probe_until",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="one worker asks alone",
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("account", "subject"),
    )
    op.create_table(
        "certificates",
        sa.Column("account", _KEY, server_default="main", nullable=False),
        sa.Column("address", _KEY, nullable=False, comment="where the sender publishes it"),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, comment="its own end"),
        sa.Column("verified_at", sa.BigInteger(), nullable=False, comment="when it verified a request"),
        sa.PrimaryKeyConstraint("account", "address"),
    )
