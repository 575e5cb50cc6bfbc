"""PayPal's part in tests: a key of its own, the certificate of it, and requests signed as PayPal signs."""

from __future__ import annotations

import zlib
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from integration.core.values import Micros, RawRequest
from integration.pipeline.verification import Known

CERTIFICATE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-00000001"
BEGINS, ENDS = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate() -> bytes:
    """That of PayPal's key."""
    return certificate_of(key().public_key())


def certificate_of(public_key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    """In PEM, signed by PayPal's key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.example")])
    made = x509.CertificateBuilder(name, name, public_key, 1, BEGINS, ENDS).sign(key(), SHA256())
    return made.public_bytes(Encoding.PEM)


class InMemory:
    """Keeps certificates as the store does, for one test."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.expired: set[str] = set()

    def find(self, url: str, _now: Micros) -> bytes | Known:
        if url in self.expired:
            return Known.EXPIRED
        return self.kept.get(url, Known.NOTHING)

    def keep(self, url: str, pem: bytes, _now: Micros) -> bool:
        self.kept[url] = pem
        return True


def signed(request: RawRequest, webhook_id: str, url: str = CERTIFICATE_URL) -> RawRequest:
    """The request as PayPal would send it; the certificate stands at `url` and goes along."""
    id_, time = "b9f5e8c0-0000-11f0-8f6b-a1b2c3d4e5f6", "2026-11-23T16:00:00Z"
    text = f"{id_}|{time}|{webhook_id}|{zlib.crc32(request.body)}".encode()
    headers = {
        **request.headers,
        "paypal-transmission-id": id_,
        "paypal-transmission-time": time,
        "paypal-transmission-sig": b64encode(key().sign(text, PKCS1v15(), SHA256())).decode(),
        "paypal-cert-url": url,
        "paypal-auth-algo": "SHA256withRSA",
    }
    return replace(request, headers=headers, certificate=certificate())
