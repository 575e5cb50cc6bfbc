"""Plain shared secrets (Basic, tokens): compared, and stored, as SHA-256 digests only."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence

from integration.core.values import RawRequest, Secret, Verdict
from integration.verify.scheme import NotVerifiedError, names_of, usable_keys

HIDDEN = "redacted"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest(credential: bytes) -> str:
    """What is stored in the place of a credential."""
    return f"sha256:{hashlib.sha256(credential).hexdigest()}"


def stored_digest(text: str) -> str | None:
    """The text if it is a digest as `digest` writes it. Ask this of redacted requests only."""
    return text if _DIGEST.fullmatch(text) else None


def judge(
    request: RawRequest,
    secrets: Sequence[Secret],
    *,
    presented: Callable[[RawRequest], str],
    key_of: Callable[[Secret], bytes],
    forms: Callable[[bytes], Iterable[bytes]],
    mismatch: str,
) -> Verdict:
    """Compare the digest of what was presented with that of each form of each secret.

    `presented` finds the digest in the request (NotVerifiedError if there is none); `key_of` is the
    secret's bytes (ValueError if unusable); `forms` are the byte sequences that may stand for them on
    the wire; `mismatch` is the sentence that tells what matched none of the settings named after it.
    """
    try:
        keys, problems = usable_keys(secrets, key_of)
        given = presented(request).encode()
    except NotVerifiedError as error:
        return error.verdict
    for secret, key in keys:
        if any(hmac.compare_digest(given, digest(form).encode()) for form in forms(key)):
            return Verdict(secret_name=secret.name)
    sentence = f"{mismatch} {names_of(secret for secret, _ in keys)}: compare with the sender's settings."
    return Verdict("credentials_mismatch", " ".join([sentence, *problems]))


def wire_forms(text: bytes) -> list[bytes]:
    """UTF-8, and Latin-1 where the text allows it: RFC 7617 leaves the encoding to the sender."""
    try:
        return [text, text.decode("utf-8").encode("latin-1")]
    except UnicodeError:
        return [text]
