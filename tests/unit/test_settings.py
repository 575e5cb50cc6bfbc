"""Each setting has a test that fails if the setting is ignored. A new one needs its line here."""

from __future__ import annotations

from pathlib import Path

from integration.core.settings import SETTINGS

ROOT = Path(__file__).parents[2]
WORKER = "database/test_worker_settings.py"
WEB = "database/test_web_settings.py"
HUBSPOT = "unit/hubspot/test_hubspot_settings.py"
SERVE = "acceptance/test_serve.py"
GRANT = f"{HUBSPOT}::test_with_a_refresh_token_the_grant_of_the_settings_is_used"
SENT = f"{HUBSPOT}::test_the_address_version_and_token_of_a_request"
HELD_BY = {
    "DATABASE_URL": f"{SERVE}::test_a_worker_waits_for_the_schema",
    "HUBSPOT_API": f"{HUBSPOT}::test_hubspot_api_chooses_the_api",
    "HUBSPOT_API_VERSION": SENT,
    "HUBSPOT_BASE_URL": SENT,
    "HUBSPOT_ACCESS_TOKEN": SENT,
    "HUBSPOT_CLIENT_ID": GRANT,
    "HUBSPOT_CLIENT_SECRET": GRANT,
    "HUBSPOT_REFRESH_TOKEN": GRANT,
    "HUBSPOT_RATE_LIMIT": f"{WORKER}::test_hubspot_rate_limit_is_how_much_goes_in_its_time",
    "MAPPINGS_DIR": f"{WEB}::test_mappings_dir_is_where_sources_are",
    "BUNDLE_WINDOW": f"{WORKER}::test_bundle_window_and_bundle_max_wait_are_when_a_lead_is_due",
    "BUNDLE_MAX_WAIT": f"{WORKER}::test_bundle_window_and_bundle_max_wait_are_when_a_lead_is_due",
    "WORKER_CONCURRENCY": f"{WORKER}::test_worker_concurrency_is_how_many_requests_are_on_their_way",
    "PUBLIC_URL": f"{WEB}::test_public_url_is_what_a_signature_over_the_url_covers",
    "TRUSTED_PROXIES": f"{WEB}::test_trusted_proxies_is_how_many_addresses_are_believed",
    "MAX_BODY_BYTES": f"{WEB}::test_max_body_bytes_is_the_largest_body",
    "RETENTION_DAYS": f"{WORKER}::test_retention_days_is_how_long_requests_are_kept",
    "REJECTED_KEEP": f"{WEB}::test_rejected_keep_is_how_many_rejected_requests_of_a_source_stay",
    "METRICS_TOKEN": f"{WEB}::test_metrics_token_closes_the_metrics",
    "ALERT_WEBHOOK_URL": "database/test_worker_alerts.py::"
    "test_dead_letters_are_posted_once_while_delivery_goes_on",
    "FETCH_ALLOW_PRIVATE": f"{WORKER}::test_fetch_allow_private_is_whether_private_addresses_are_called",
    "PORT": f"{SERVE}::test_a_webhook_becomes_a_put_and_sigterm_ends_everything_well",
    "WEB_CONCURRENCY": f"{SERVE}::test_log_level_and_web_concurrency_are_how_much_is_said_and_by_how_many",
    "LOG_LEVEL": f"{SERVE}::test_log_level_and_web_concurrency_are_how_much_is_said_and_by_how_many",
}
NOT_USED_YET = {"CONSOLE_PASSWORD"}


def test_each_setting_names_the_test_that_holds_it() -> None:
    assert set(HELD_BY) | NOT_USED_YET == {setting.name for setting in SETTINGS}


def test_the_tests_that_are_named_exist() -> None:
    for setting, name in HELD_BY.items():
        file, _, function = name.partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {function}(" in text, f"{setting}: there is no {name}"
