"""Sources in turn: untranslated events of each source, oldest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """An index that old code does not use; the one that it uses stays."""
    op.create_index(
        "events_received_by_source",
        "events",
        ["source", "id"],
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
