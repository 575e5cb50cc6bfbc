"""Frozen requests of real systems, most confirmed by the vendor's own code: each gives its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integration.core.values import MICROS_PER_SECOND
from integration.verify import build, redact
from tests.vectors import VECTORS, options_of, read_vector, request_of, secret_of


def reason_of(vector: dict[str, Any], name: str) -> str:
    """The reason that a refused vector must get, by what its file name says was done to it."""
    if "stale" in name:
        return "timestamp_stale"
    if "missing" in name:
        return "missing_header"
    if "sha256" in name:
        return "malformed_header"
    if "org" in name:
        return "organization_mismatch"
    plain = {"basic", "token_header", "token_body", "special:salesforce_om"}
    return "credentials_mismatch" if vector["scheme"] in plain else "signature_mismatch"


def test_all_vectors_are_here() -> None:
    assert len(VECTORS) == 120


@pytest.mark.parametrize("file", VECTORS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_verdict_of_vector(file: Path) -> None:
    vector = read_vector(file)
    scheme = build(options_of(vector))
    request = request_of(vector, file.parent)
    now = vector["now"] * MICROS_PER_SECOND

    verdict = scheme.verify(request, [secret_of(vector)], now)

    assert verdict.accepted is vector["valid"], verdict
    assert verdict.reason == (None if vector["valid"] else reason_of(vector, file.stem))
    assert scheme.verify(redact(scheme, request), [secret_of(vector)], now) == verdict
