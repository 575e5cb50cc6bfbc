"""Indexes for what people look up: events of a type, and due leads by why they still wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Two indexes; old code neither needs nor minds them."""
    op.create_index("events_by_type", "events", ["type", "id"])
    due = sa.text("state = 'due'")
    op.create_index("leads_due_by_cause", "leads", ["cause", "id"], sqlite_where=due, postgresql_where=due)
