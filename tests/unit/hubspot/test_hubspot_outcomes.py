from __future__ import annotations

import pytest

from integration.core.backoff import read_retry_after
from integration.hubspot.outcomes import classify
from tests.contracts.destination import NOON


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("", None),
            ("0", 0.0),
            ("1.5", 1.5),
            (" 10 ", 10.0),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("1e5", None),
            ("²", None),
            ("86401", 86_400.0),
            ("9" * 300, 86_400.0),
            ("9" * 500, None),
            ("Sat, 23 Nov 2024 12:00:10 GMT", 10.0),
            ("Sat, 23 Nov 2024 14:00:10 +0200", 10.0),
            ("Sat, 23 Nov 2034 12:00:00 GMT", 86_400.0),
            ("Sat, 99 Nov 2024 12:00:00 GMT", None),
            ("Sat, 23 Nov 9999999999 12:00:00 GMT", None),
            ("tomorrow", None),
        ],
    )
    def test_reads_seconds_and_dates_and_ignores_the_rest(
        self, value: str | None, seconds: float | None
    ) -> None:
        assert read_retry_after(value, NOON) == seconds


class TestClassify:
    @pytest.mark.parametrize(("headers", "seconds"), [({}, 2.0), ({"retry-after": "9"}, 9.0)])
    def test_a_locked_record_waits_at_least_its_lock(self, headers: dict[str, str], seconds: float) -> None:
        assert classify(423, headers, "", NOON).retry_after == seconds

    def test_a_rate_limit_names_the_setting(self) -> None:
        cause = classify(429, {}, "", NOON).cause
        assert cause is not None
        assert cause.code == "rate_limited"
        assert "HUBSPOT_RATE_LIMIT" in cause.cure

    def test_retry_after_means_nothing_once_it_is_set_aside(self) -> None:
        assert classify(400, {"retry-after": "9"}, "", NOON).retry_after is None
