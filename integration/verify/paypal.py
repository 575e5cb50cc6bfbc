"""PayPal: an RSA signature that a certificate of PayPal's own verifies; the request says where it is.

https://developer.paypal.com/api/rest/webhooks/rest/ and PayPal-Python-SDK's `notifications.py`, 2026-11-23:
signed is `transmission id|transmission time|webhook id|CRC-32 of the body as a decimal number`. The webhook
id is not a secret; it tells that the event is meant for us.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from integration.core.values import MICROS_PER_SECOND, Micros, RawRequest, Secret, Verdict
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    base64_bytes,
    header_bytes,
    names_of,
    object_schema,
    read_header,
    text_key,
    usable_keys,
)

OPTIONS = object_schema(
    "PayPal's webhooks: RSA signatures, checked with the certificate that the request names, which is fetched"
    " from a host of PayPal's and from nowhere else. The secret is the webhook's id.",
    {
        "certificate_hosts": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "description": "Hosts whose certificates are trusted, with their port if it is not 443; one that"
            " begins with a dot stands for all below it. Default: [.paypal.com].",
        },
    },
)
_HOSTS = (".paypal.com",)
_SIGNATURE = "PAYPAL-TRANSMISSION-SIG"
_ID = "PAYPAL-TRANSMISSION-ID"
_TIME = "PAYPAL-TRANSMISSION-TIME"
_CERTIFICATE = "PAYPAL-CERT-URL"
_ALGORITHM = "PAYPAL-AUTH-ALGO"
_HEADERS = frozenset(name.lower() for name in (_SIGNATURE, _ID, _TIME, _CERTIFICATE, _ALGORITHM))
_RSA_SHA256 = "SHA256withRSA"
# Where PayPal keeps them: a page of another kind on the same host can never stand in for one.
_CERTIFICATE_PATH = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,128}")


def build(options: Mapping[str, Any]) -> Scheme:
    """See OPTIONS."""
    hosts = tuple(host.lower() for host in options.get("certificate_hosts", _HOSTS))
    return Scheme(
        "paypal",
        partial(_verify, hosts),
        _sign,
        conceal=lambda request: request,
        headers=_HEADERS,
        certificate_url=partial(_certificate_url, hosts),
    )


def _certificate_url(hosts: Sequence[str], request: RawRequest) -> str:
    _signature_of(request)  # whoever cannot sign need not make us call anybody
    url = read_header(request, _CERTIFICATE)
    if not _is_of(hosts, url):
        known = ", ".join(f"*{host}" if host.startswith(".") else host for host in hosts)
        raise NotVerifiedError(
            "certificate_refused",
            f"The {_CERTIFICATE} header names no certificate of {known}: no other is fetched.",
        )
    return url


def _is_of(hosts: Sequence[str], url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    netloc = parts.netloc.lower().removesuffix(":443")
    is_known = any(netloc.endswith(host) if host.startswith(".") else netloc == host for host in hosts)
    # urlsplit drops tabs and line breaks: what is fetched must be the very text that was judged.
    is_plain = url == f"{parts.scheme}://{parts.netloc}{parts.path}" and re.fullmatch(r"[!-~]+", url)
    is_bare = re.fullmatch(r"[a-z0-9.:-]+", netloc)  # no user, no other port than that of a host given here
    return bool(is_known and is_plain and is_bare and _CERTIFICATE_PATH.fullmatch(parts.path))


def _verify(hosts: Sequence[str], request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
    try:
        keys, problems = usable_keys(secrets, _webhook_id)
        _certificate_url(hosts, request)
        signature = _signature_of(request)
        before, after = _signed_parts(request)
        key = _public_key(request.certificate, now)
    except NotVerifiedError as error:
        return error.verdict
    for secret, webhook_id in keys:
        if _is_signature(key, signature, before + webhook_id + after):
            return Verdict(secret_name=secret.name)
    sentence = (
        "The signature does not fit the body and the webhook's id in"
        f" {names_of(secret for secret, _ in keys)}: compare with the id that PayPal's dashboard shows for"
        " this very webhook; sandbox and live have different ones."
    )
    return Verdict("signature_mismatch", " ".join([sentence, *problems]))


def _sign(_request: RawRequest, secret: Secret, _now: Micros) -> RawRequest:
    _webhook_id(secret)
    raise ValueError(
        f"No request can be signed with {secret.name}: the key that signs is PayPal's alone. Resend an event"
        " from PayPal's dashboard, or look at a file with `leadwire try`."
    )


def _webhook_id(secret: Secret) -> bytes:
    return text_key(secret).strip()


def _signature_of(request: RawRequest) -> bytes:
    if read_header(request, _ALGORITHM) != _RSA_SHA256:
        detail = f"The {_ALGORITHM} header is not {_RSA_SHA256}, the only algorithm that PayPal documents."
        raise NotVerifiedError("malformed_header", detail)
    try:
        return base64_bytes(read_header(request, _SIGNATURE))
    except ValueError:
        raise NotVerifiedError("malformed_header", f"The {_SIGNATURE} header is not base64.") from None


def _signed_parts(request: RawRequest) -> tuple[bytes, bytes]:
    """What is signed before and after the webhook's id."""
    id_and_time = header_bytes(f"{read_header(request, _ID)}|{read_header(request, _TIME)}|")
    return id_and_time, b"|%d" % zlib.crc32(request.body)


@lru_cache(maxsize=16)
def _loaded(certificate: bytes) -> tuple[RSAPublicKey, datetime, datetime]:
    """The first certificate's key and the times between which it holds. Raises ValueError."""
    found = load_pem_x509_certificate(certificate)
    key = found.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not RSA")  # noqa: TRY004 - a value from outside, not a mistake in the program
    return key, found.not_valid_before_utc, found.not_valid_after_utc


def _public_key(certificate: bytes, now: Micros) -> RSAPublicKey:
    try:
        key, begins, ends = _loaded(certificate)
    except ValueError:
        detail = f"What the {_CERTIFICATE} header leads to is not a certificate with an RSA key."
        raise NotVerifiedError("certificate_refused", detail) from None
    if not begins.timestamp() <= now / MICROS_PER_SECOND <= ends.timestamp():
        detail = (
            f"The certificate that the request names holds from {begins:%Y-%m-%d} to {ends:%Y-%m-%d} only:"
            " if that is not past, this machine's clock is wrong."
        )
        raise NotVerifiedError("certificate_expired", detail)
    return key


def _is_signature(key: RSAPublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


TYPE = SchemeType("paypal", OPTIONS, build)
