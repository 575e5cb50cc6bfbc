"""What both set-ups share: the signature's check, and one PUT to HubSpot with the usual retries."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

SECRET = os.environ["SHOP_SECRET"].encode()
HUBSPOT = os.environ["HUBSPOT_BASE_URL"]
TOKEN = os.environ["HUBSPOT_ACCESS_TOKEN"]
_local = threading.local()


def is_genuine(body: bytes, header: str) -> bool:
    timestamp, _, signature = header.removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


def session(retries: int) -> requests.Session:
    """This thread's connection to HubSpot. `retries`: after 429 (by Retry-After), 5xx, and cut ones."""
    if not hasattr(_local, "session"):
        retry = Retry(
            total=retries, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("PUT",), raise_on_status=False,
        )  # fmt: skip
        _local.session = requests.Session()
        _local.session.mount("http", HTTPAdapter(max_retries=retry))
    return _local.session


def put(event: Mapping[str, Any], retries: int) -> requests.Response:
    """Send the fields that an event sets."""
    fields = {name: event[name] for name in ("city", "phone") if name in event}
    return session(retries).put(
        f"{HUBSPOT}/leads/v1/lead/{event['guid']}",
        params={"access_token": TOKEN},
        json={**fields, "guid": event["guid"]},
        timeout=30,
    )
