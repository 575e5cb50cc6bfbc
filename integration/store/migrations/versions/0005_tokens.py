"""The access token that all workers share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A table that old code does not know."""
    op.create_table(
        "tokens",
        sa.Column("account", sa.Text().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column(
            "sealed",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="encrypted; empty before the first",
        ),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column(
            "leased_until",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="one worker fetches a new one",
        ),
        sa.PrimaryKeyConstraint("account"),
    )
