"""What people are told about, and dead letters by the time of their death."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_DEAD = sa.text("state = 'dead'")


def upgrade() -> None:
    """A table that old code does not know, and two indexes that it keeps without knowing."""
    op.create_table(
        "alerts",
        sa.Column(
            "subject",
            sa.Text().with_variant(sa.String(collation="C"), "postgresql"),
            nullable=False,
            comment="kind of dead letter, '/', cause; or 'delivery'",
        ),
        sa.Column(
            "since",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="delivery: paused since; 0: works",
        ),
        sa.Column(
            "told_until",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="what came later is news",
        ),
        sa.Column(
            "next_at", sa.BigInteger(), server_default="0", nullable=False, comment="nobody tells it before"
        ),
        sa.Column(
            "failures", sa.Integer(), server_default="0", nullable=False, comment="posts that failed in a row"
        ),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_index(
        "events_dead_by_time", "events", ["cause", "settled_at"], sqlite_where=_DEAD, postgresql_where=_DEAD
    )
    op.create_index(
        "leads_dead_by_time", "leads", ["cause", "updated_at"], sqlite_where=_DEAD, postgresql_where=_DEAD
    )
