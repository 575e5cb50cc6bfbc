"""Every setting, once: the tuple `SETTINGS` feeds the reader, the docs and the test that holds them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from integration.core.errors import SettingError, shorten
from integration.core.values import Secret

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`requests` in any `seconds`."""

    requests: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its environment variable, default as it would be written there, and meaning."""

    name: str
    default: str
    help: str
    parse: Callable[[str], Any]
    secret: bool = False


def parse_rate_limit(text: str) -> RateLimit:
    """`100/10` is 100 requests in 10 seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,6}(?:\.\d+)?)", text.strip())
    if match is None or int(match[1]) < 1 or float(match[2]) <= 0:
        raise ValueError("expected requests/seconds, as 100/10")
    return RateLimit(int(match[1]), float(match[2]))


def _whole(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise ValueError(f"expected a whole number from {minimum}")
        return number

    return parse


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e6:
        raise ValueError("expected seconds, 0 or more")
    return number


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _api_version(text: str) -> str:
    if not re.fullmatch(r"v3|20\d\d-(?:03|09)", text):
        raise ValueError("expected v3 or a dated version, as 2026-09")
    return text


def _url(text: str) -> str:
    if text and not re.match(r"https?://[^/\s]+", text):
        raise ValueError("expected an address that starts with http:// or https://")
    return text.rstrip("/")


def _webhook(text: str) -> str:
    _url(text)
    return text  # whole: a receiver may tell /x from /x/


def _setting(
    name: str, default: str, text: str, parse: Callable[[str], Any] = str, *, secret: bool = False
) -> Any:
    return field(metadata={"setting": Setting(name, default, text, parse, secret)}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a process, read once at its start."""

    database_url: str = _setting(
        "DATABASE_URL",
        "sqlite:///var/leadwire.db",
        "Where everything is kept: `sqlite:///path` or `postgresql://user:password@host/name`.",
        secret=True,
    )
    hubspot_api: str = _setting(
        "HUBSPOT_API",
        "leads-v1",
        "Which HubSpot API receives the updates: `leads-v1`, or today's `contacts`.",
        _one_of("leads-v1", "contacts"),
    )
    hubspot_api_version: str = _setting(
        "HUBSPOT_API_VERSION",
        "2026-09",
        "The version of the contacts API: `v3`, or a dated one.",
        _api_version,
    )
    hubspot_base_url: str = _setting(
        "HUBSPOT_BASE_URL", "https://api.hubapi.com", "HubSpot's address, or the sandbox's.", _url
    )
    hubspot_access_token: str = _setting(
        "HUBSPOT_ACCESS_TOKEN",
        "",
        "The token of the HubSpot account. Delivery waits until it is set.",
        secret=True,
    )
    hubspot_client_id: str = _setting(
        "HUBSPOT_CLIENT_ID", "", "OAuth instead of a fixed token: the app's client id."
    )
    hubspot_client_secret: str = _setting(
        "HUBSPOT_CLIENT_SECRET", "", "OAuth: the app's client secret.", secret=True
    )
    hubspot_refresh_token: str = _setting(
        "HUBSPOT_REFRESH_TOKEN",
        "",
        "OAuth: the refresh token of the account. If set, access tokens are fetched with it.",
        secret=True,
    )
    hubspot_rate_limit: RateLimit = _setting(
        "HUBSPOT_RATE_LIMIT",
        "100/10",
        "Requests per seconds that HubSpot allows the account, shared by all workers.",
        parse_rate_limit,
    )
    mappings_dir: Path = _setting(
        "MAPPINGS_DIR",
        "mappings",
        "The folder of your mapping files; it lies over the shipped mappings, folder by folder.",
        Path,
    )
    bundle_window: float = _setting(
        "BUNDLE_WINDOW",
        "2",
        "Seconds that a lead's bundle waits for more changes; 0 sends at once.",
        _seconds,
    )
    bundle_max_wait: float = _setting(
        "BUNDLE_MAX_WAIT", "10", "Seconds after which a bundle goes although changes keep coming.", _seconds
    )
    worker_concurrency: int = _setting(
        "WORKER_CONCURRENCY", "8", "Requests to HubSpot in flight per worker.", _whole(1)
    )
    public_url: str = _setting(
        "PUBLIC_URL",
        "",
        "How senders reach us (`https://hooks.example.com`): shown as each source's URL, and what a "
        "signature over the URL covers. Without it the request's own Host header is used.",
        _url,
    )
    trusted_proxies: int = _setting(
        "TRUSTED_PROXIES", "0", "How many proxies in front of us set X-Forwarded-* headers.", _whole(0)
    )
    max_body_bytes: int = _setting(
        "MAX_BODY_BYTES", str(MIB), "The largest request body, also after decompression.", _whole(1)
    )
    retention_days: int = _setting("RETENTION_DAYS", "30", "Days that stored requests are kept.", _whole(1))
    rejected_keep: int = _setting(
        "REJECTED_KEEP",
        "1000",
        "How many rejected requests are kept per source; the oldest go first.",
        _whole(0),
    )
    console_password: str = _setting(
        "CONSOLE_PASSWORD", "", "The password of the console, which is not there yet.", secret=True
    )
    metrics_token: str = _setting(
        "METRICS_TOKEN", "", "If set, /metrics wants it as a bearer token.", secret=True
    )
    alert_webhook_url: str = _setting(
        "ALERT_WEBHOOK_URL",
        "",
        "Where alerts are posted, as JSON with a `text`: an incoming webhook of Slack, Mattermost or the "
        "like. Without it they are only logged.",
        _webhook,
        secret=True,
    )
    fetch_allow_private: bool = _setting(
        "FETCH_ALLOW_PRIVATE",
        "false",
        "`true` lets `fetch:` call http:// and private addresses: for stand-ins in tests, nowhere else.",
        _flag,
    )
    port: int = _setting("PORT", "8000", "The port that the web process listens on.", _whole(0))
    web_concurrency: int = _setting("WEB_CONCURRENCY", "2", "Web processes per machine.", _whole(1))
    log_level: str = _setting(
        "LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.", _one_of("DEBUG", "INFO", "WARNING", "ERROR")
    )

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read all settings; raises SettingError that lists every unusable one at once."""
        environment = os.environ if environ is None else environ
        values, errors = {}, []
        for item in fields(cls):
            setting: Setting = item.metadata["setting"]
            try:
                values[item.name] = _parsed(setting, environment)
            except SettingError as error:
                errors.append(str(error))
        if errors:
            raise SettingError("\n".join(errors))
        return cls(**values)


SETTINGS: tuple[Setting, ...] = tuple(item.metadata["setting"] for item in fields(Settings))


def read_variable(name: str, environ: Mapping[str, str]) -> str:
    """The value of `NAME`, or the content of the file that `NAME_FILE` names (a mounted secret), or "".

    Raises SettingError if the file cannot be read: a secret that is configured and absent must be loud.
    """
    if environ.get(name):
        return environ[name]
    path = environ.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name}_FILE: cannot read {path}: {error}") from error


def read_secrets(names: tuple[str, ...], environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """The secrets among `names` that are set; blank ones never count."""
    found = ((name, read_variable(name, environ)) for name in names)
    return tuple(Secret(name, value) for name, value in found if value.strip())


def _parsed(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = read_variable(setting.name, environ) or setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "the value" if setting.secret else shorten(text)
        raise SettingError(f"{setting.name}: {shown} cannot be used: {error}") from error
