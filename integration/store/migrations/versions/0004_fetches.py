"""What is fetched from a source's API before an event is translated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_KEY = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
_DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """A table of its own: the code before it never looks there."""
    op.create_table(
        "fetches",
        sa.Column("event_id", _KEY, nullable=False),
        sa.Column("source", _KEY, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="null: it is not waited for any more"),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("leased_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="failed ones"),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True, comment="why the last attempt failed"),
        sa.Column(
            "address",
            sa.Text(),
            nullable=True,
            comment="what was fetched: path and query; no credentials",
        ),
        sa.Column(
            "headers",
            sa.Text(),
            nullable=True,
            comment="JSON object: content type and encoding of the answer",
        ),
        sa.Column(
            "answer",
            sa.LargeBinary(),
            nullable=True,
            comment="the body as it came over the wire; null until it did",
        ),
        sa.Column("fetched_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(
        "fetches_due",
        "fetches",
        ["source", "due_at"],
        unique=False,
        sqlite_where=_DUE,
        postgresql_where=_DUE,
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "events",
            "state",
            comment="received | fetching | translated | ignored | dead",
            existing_nullable=False,
        )
