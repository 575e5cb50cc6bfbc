"""Good versions of mapping files, and requests that wait until their mapping is good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def _key() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """A table that old code does not know, and a column that it leaves at 0."""
    op.create_table(
        "mapping_versions",
        sa.Column("account", _key(), nullable=False, server_default="main"),
        sa.Column("name", _key(), nullable=False, comment="the source's, or 'fields' for fields.yaml"),
        sa.Column("digest", _key(), nullable=False, comment="SHA-256 of the text"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="when it was last taken into use"),
        sa.PrimaryKeyConstraint("account", "name", "digest"),
    )
    op.create_index("mapping_versions_newest", "mapping_versions", ["account", "name", "since"])
    op.add_column(
        "requests",
        sa.Column(
            "held",
            sa.SmallInteger(),
            nullable=False,
            server_default="0",
            comment="1: accepted, and not taken apart before its mapping is good",
        ),
    )
    op.create_index(
        "requests_held",
        "requests",
        ["source", "id"],
        sqlite_where=sa.text("held = 1"),
        postgresql_where=sa.text("held = 1"),
    )
