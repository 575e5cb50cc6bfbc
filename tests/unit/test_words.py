"""How times, values and leads are told to people."""

from __future__ import annotations

import pytest

from integration.core.values import MICROS_PER_SECOND
from integration.core.words import ago, name_of, told_value, when

NOW = 1_764_000_000 * MICROS_PER_SECOND
HOUR = 3600


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "now"),
        (12, "12 s ago"),
        (119, "119 s ago"),
        (180, "3 minutes ago"),
        (119 * 60, "119 minutes ago"),
        (5 * HOUR, "5 hours ago"),
        (9 * 24 * HOUR, "9 days ago"),
        (20 * 24 * HOUR, "2025-11-04 16:00"),
        (-12, "in 12 s"),
        (-2 * HOUR, "in 2 hours"),
        (-20 * 24 * HOUR, "2025-12-14 16:00"),
    ],
)
def test_a_time_is_told_in_words_and_weeks_away_as_it_is(seconds: float, told: str) -> None:
    assert ago(NOW - int(seconds * MICROS_PER_SECOND), NOW) == told


def test_where_there_is_room_a_time_is_told_in_both_ways() -> None:
    assert when(NOW - 180 * MICROS_PER_SECOND, NOW) == "3 minutes ago (2025-11-24 15:57:00 UTC)"
    assert when(NOW - 20 * 24 * HOUR * MICROS_PER_SECOND, NOW) == "2025-11-04 16:00:00 UTC"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1758999998000", "2025-09-27 19:06:38"),
        (1758999998000, "1758999998000"),
        ("2348012345678", '"2348012345678"'),
        ("254712345678", '"254712345678"'),
        ("١٧٥٨٩٩٩٩٩٨٠٠٠", '"١٧٥٨٩٩٩٩٩٨٠٠٠"'),
        ("paid", '"paid"'),
        ("", '""'),
        (None, "null"),
    ],
)
def test_a_value_that_is_a_time_for_hubspot_is_told_as_a_time(value: object, told: str) -> None:
    assert told_value(value) == told


@pytest.mark.parametrize(
    ("identifiers", "name"),
    [
        ({"contact_id": "53", "email": "ann@example.com", "guid": "g"}, "ann@example.com"),
        ({"contact_id": "53", "guid": "g"}, "g"),
        ({"a_key": "1", "contact_id": "53"}, "53"),
        ({"stripe_customer": "cus_1"}, "stripe_customer=cus_1"),
        ({}, ""),
    ],
)
def test_a_lead_is_called_by_its_email_or_else_by_what_finds_it(
    identifiers: dict[str, str], name: str
) -> None:
    assert name_of(identifiers) == name
