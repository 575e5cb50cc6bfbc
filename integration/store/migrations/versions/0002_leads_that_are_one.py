"""Leads that turn out to be one, that HubSpot may create, and whose fields HubSpot may refuse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SINGLE = sa.text("kind IN ('guid', 'contact_id')")


def upgrade() -> None:
    """New columns with defaults, so that the code before them goes on working."""
    op.add_column(
        "identifiers",
        sa.Column(
            "found_at",
            sa.BigInteger(),
            nullable=True,
            comment="when HubSpot was asked; null when an event or a person said so",
        ),
    )
    op.create_index(
        "identifiers_single",
        "identifiers",
        ["lead_id", "kind"],
        unique=True,
        sqlite_where=_SINGLE,
        postgresql_where=_SINGLE,
    )
    op.add_column(
        "leads",
        sa.Column(
            "creates",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="1: HubSpot may create it",
        ),
    )
    op.add_column(
        "leads",
        sa.Column(
            "refused",
            sa.Text(),
            server_default="{}",
            nullable=False,
            comment="JSON: field to the value that HubSpot refused, and why",
        ),
    )
