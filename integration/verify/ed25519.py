"""Entries `v1a` of Standard Webhooks: Ed25519 over `id.timestamp.body`, verified by a key `whpk_...`.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, 2026-11-23
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from integration.core.values import Secret
from integration.verify.scheme import base64_bytes

PREFIX = "whpk_"


def is_public_key(secret: Secret) -> bool:
    """Whether the secret is a public key of this kind, which verifies but cannot sign."""
    return secret.value.strip().startswith(PREFIX)


def public_key(secret: Secret) -> bytes:
    """The 32 bytes of the key; raises ValueError, which names the setting, if it is none."""
    try:
        key = base64_bytes(secret.value.strip().removeprefix(PREFIX))
        Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise ValueError(f"{secret.name} is no Ed25519 public key after {PREFIX}: copy it again.") from None
    return key


def is_signature(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of the private key signed this message."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
