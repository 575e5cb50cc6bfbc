"""Everything belongs to an account.

This only adds, and builds again three indexes that came with 0008 and 0010, which the last release does not
use. For programs of that release these stay, and go with a later migration: `leads_due`, `events_dead`,
`events_dead_by_time`, `leads_dead`, `leads_dead_by_time` and `fetches_due`, beside which the same stand here
with the account first.
The unique keys of `events`, `identifiers`, `alerts`, `budget_slots`, `accounts` and `tokens` stay as they are:
`integration/store/account_keys.py` says how the same key may stand in them for two accounts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TABLES = ("requests", "events", "leads", "identifiers", "updates", "attempts", "fetches", "alerts")


def upgrade() -> None:
    """A column that old code leaves at its default, and indexes that begin with it."""
    for table in _TABLES:
        op.add_column(table, _account())
    for name, table, columns, where in (
        ("events_received_by_source", "events", ["source", "id"], "state = 'received'"),
        ("requests_held", "requests", ["source", "id"], "held = 1"),
        ("leads_due_by_cause", "leads", ["cause", "id"], "state = 'due'"),
    ):
        op.drop_index(name, table)
        _index(name, table, columns, where)
    _index("leads_due_of_account", "leads", ["priority", "due_at"], "state = 'due'")
    for table, died in (("events", "settled_at"), ("leads", "updated_at")):
        _index(f"{table}_dead_of_account", table, ["cause", "id"], "state = 'dead'")
        _index(f"{table}_dead_of_account_by_time", table, ["cause", died], "state = 'dead'")
    _index("fetches_due_of_account", "fetches", ["source", "due_at"], "due_at IS NOT NULL")


def _account() -> sa.Column[str]:
    key = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
    return sa.Column("account", key, nullable=False, server_default="main")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, ["account", *columns], sqlite_where=condition, postgresql_where=condition)
