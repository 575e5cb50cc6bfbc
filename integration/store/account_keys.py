"""Keys that are unique within an account, in columns that are unique over all accounts.

Such columns (an event's `dedup_key`, an identifier's `value`, the subject of an alert, the names of budgets
and tokens) had their unique index before there were accounts. A key of the first account stands there as it
is; one of another account has the account before it. So two accounts may have the same key, no index is built
again or doubled, and programs from before go on with theirs.
"""

from __future__ import annotations

from integration.store.tables import BEFORE_ACCOUNTS

_MARK = "\x1f"  # no account's name has it


def key_in(account: str, key: str) -> str:
    """How this key of the account is stored: two accounts, and two keys of one, never have the same."""
    if account == BEFORE_ACCOUNTS and not key.startswith(_MARK):
        return key
    return f"{_MARK}{account}{_MARK}{key}"


def key_of(account: str, stored: str) -> str:
    """The key of this account that `key_in` wrote."""
    return stored.removeprefix(f"{_MARK}{account}{_MARK}")
