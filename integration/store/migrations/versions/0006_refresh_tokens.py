"""The refresh token that HubSpot gives back beside an access token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """A column that old code does not know and leaves empty."""
    op.add_column(
        "tokens",
        sa.Column(
            "sealed_refresh",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="encrypted; empty while the one of the settings is good",
        ),
    )
