"""Laws of isolation: exactly the culprits are set aside, all others are stored, once, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from integration.core.bounds import LONGEST_KEY_BYTES, storable, unusable_as_key
from integration.store.isolation import Culprit, isolated


@given(st.lists(st.booleans(), max_size=60))
def test_exactly_the_culprits_come_out_alone(poisonous: list[bool]) -> None:
    items = list(enumerate(poisonous))
    stored: list[tuple[int, bool]] = []
    tried = 0

    def transaction(some: Sequence[tuple[int, bool]]) -> int:
        nonlocal tried
        tried += 1
        if any(bad for _, bad in some):
            raise ValueError
        stored.extend(some)
        return len(some)

    culprits, order = [], []
    for part in isolated(items, transaction):
        if isinstance(part, Culprit):
            culprits.append(part.item)
            order.append(part.item)
        else:
            assert part.result == len(part.items)
            order += part.items

    assert culprits == [item for item in items if item[1]]
    assert stored == [item for item in items if not item[1]]
    assert order == items
    assert tried <= 1 + 2 * len(culprits) * max(1, len(items).bit_length())


@given(st.text(max_size=2 * LONGEST_KEY_BYTES) | st.text(st.characters(categories=["Cs", "Cc"])))
def test_what_is_no_key_is_told(text: str) -> None:
    problem = unusable_as_key(text)

    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        assert problem == "holds a NUL or half of a character, which no database takes"
        assert unusable_as_key(storable(text)) != problem
    elif len(text.encode()) > LONGEST_KEY_BYTES:
        assert problem == f"is {len(text.encode()):,} bytes long; at most 1,024 are possible"
    else:
        assert problem is None
        assert storable(text) == text
