"""Keys of accounts in columns that are unique over all accounts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from integration.core.values import MAIN_ACCOUNT
from integration.store.account_keys import key_in, key_of

ACCOUNTS = st.sampled_from([MAIN_ACCOUNT, "b", "mai", "n"])
KEYS = st.text(st.sampled_from("ab\x1fmin/"), max_size=12)


@given(ACCOUNTS, KEYS)
def test_a_key_comes_back_as_it_was(account: str, key: str) -> None:
    assert key_of(account, key_in(account, key)) == key


@given(ACCOUNTS, KEYS, ACCOUNTS, KEYS)
def test_no_two_keys_are_stored_alike_whatever_a_sender_puts_into_one(
    account: str, key: str, other: str, other_key: str
) -> None:
    stored_alike = key_in(account, key) == key_in(other, other_key)
    assert stored_alike == ((account, key) == (other, other_key))


def test_what_was_stored_before_there_were_accounts_stays_as_it_is() -> None:
    assert key_in(MAIN_ACCOUNT, "evt_1") == "evt_1"
    assert key_of(MAIN_ACCOUNT, "evt_1") == "evt_1"
