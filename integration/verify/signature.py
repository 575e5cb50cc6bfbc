"""The engine of all signed schemes: HMAC or plain hash over a template of parts of the request.

`hmac` in a mapping file offers every option; other schemes are presets (`stripe`, `standard-webhooks`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from integration.core.values import MICROS_PER_SECOND, Micros, RawRequest, Secret, Verdict
from integration.verify import ed25519
from integration.verify.form import form_fields
from integration.verify.options import DEFAULT_TOLERANCE, OPTIONS, contradictions
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    base64_bytes,
    header_bytes,
    names_of,
    read_header,
    text_key,
    usable_keys,
)
from integration.verify.template import Piece, compile_template, placeholders, render
from integration.verify.timestamp import format_timestamp, parse_timestamp, shown

_MOST_FORM_FIELDS = 10_000
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
# HubSpot decodes these in the query, and no others, before it signs (read on 2026-11-23):
# https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
_HUBSPOT_CODES = re.compile(rb"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListFormat:
    """How one header holds several entries: signatures, and perhaps the timestamp."""

    separator: str
    pair: str | None = None
    signature_key: str | None = None
    timestamp_key: str | None = None
    timestamp_position: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options of a signed scheme, settled and with the template compiled."""

    name: str
    header: str
    template: tuple[Piece, ...]
    kind: str = "hmac"
    algorithm: str = "sha256"
    encoding: str = "hex"
    key_encoding: str = "utf8"
    key_prefix: str = ""
    prefix: str = ""
    prefix_optional: bool = False
    entries: ListFormat | None = None
    timestamp_header: str | None = None
    timestamp_unit: str = "s"
    tolerance: int = DEFAULT_TOLERANCE
    id_header: str | None = None

    @property
    def inline_timestamp(self) -> bool:
        """Whether the time stands in the signature header itself."""
        entries = self.entries
        return entries is not None and bool(entries.timestamp_key or entries.timestamp_position)


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request presents: decoded signatures, and the texts of its timestamp and id as signed."""

    signatures: tuple[bytes, ...]
    timestamp: str | None
    id: str | None


def build(options: Mapping[str, Any], name: str = "hmac") -> Scheme:
    """A scheme from options as in OPTIONS that have no contradictions."""
    timestamp = options.get("timestamp", {})
    entries = options.get("list")
    same = ("header", "kind", "algorithm", "encoding", "key_encoding", "key_prefix", "prefix")
    more = ("prefix_optional", "tolerance", "id_header")
    recipe = Recipe(
        name=name,
        template=compile_template(options.get("template", "{body}")),
        entries=ListFormat(**entries) if entries else None,
        timestamp_header=timestamp.get("header"),
        timestamp_unit=timestamp.get("unit", "s"),
        **{key: options[key] for key in (*same, *more) if key in options},
    )
    return scheme_of(recipe)


def scheme_of(recipe: Recipe) -> Scheme:
    """The scheme that follows a recipe."""

    def verify(request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
        try:
            return _verify(recipe, request, secrets, now)
        except NotVerifiedError as error:
            return error.verdict

    def sign(request: RawRequest, secret: Secret, now: Micros) -> RawRequest:
        try:
            return _sign(recipe, request, secret, now)
        except NotVerifiedError as error:
            raise ValueError(f"The body cannot be signed with {secret.name}: {error}") from None

    names = (recipe.header, recipe.timestamp_header, recipe.id_header)
    return Scheme(
        recipe.name,
        verify,
        sign,
        conceal=lambda request: request,
        headers=frozenset(name.lower() for name in names if name),
        signs_url=bool({"url", "url_hubspot"} & placeholders(recipe.template)),
    )


def _verify(recipe: Recipe, request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
    keys, problems = usable_keys(secrets, lambda secret: _key(recipe, secret))
    presented = _presented(recipe, request)
    at = _instant(recipe, presented)
    for secret, key in keys:
        if _is_signed(recipe, key, _parts(recipe, request, presented.timestamp, presented.id), presented):
            return _in_time(recipe, secret, at, now)
    names = names_of(secret for secret, _ in keys)
    return Verdict("signature_mismatch", " ".join([_mismatch(recipe, names), *problems]))


def _mismatch(recipe: Recipe, names: str) -> str:
    url = " The signature covers the URL: is PUBLIC_URL what the sender was given?"
    return (
        f"No signature in {recipe.header} was made with the secret in {names}: compare with the secret that"
        " the sender shows for this very endpoint. If it is the same, something between the sender and us"
        f" changes the body.{url if {'url', 'url_hubspot'} & placeholders(recipe.template) else ''}"
    )


def _in_time(recipe: Recipe, secret: Secret, at: Micros | None, now: Micros) -> Verdict:
    if at is None or abs(now - at) <= recipe.tolerance * MICROS_PER_SECOND:
        return Verdict(secret_name=secret.name)
    late = now > at
    seconds = -(-abs(now - at) // MICROS_PER_SECOND)
    return Verdict(
        "timestamp_stale" if late else "timestamp_future",
        f"The signature is right, but the request is of {shown(at)}, {seconds} s"
        f" {'before' if late else 'after'} {shown(now)}; the tolerance is {recipe.tolerance} s. Either an old"
        " request was sent again, or a clock is wrong: check that this machine's clock is synchronised.",
        secret.name,
    )


def _presented(recipe: Recipe, request: RawRequest) -> Presented:
    value = read_header(request, recipe.header)
    if recipe.entries is None:
        texts, timestamp = [value.strip()], None
    else:
        texts, timestamp = _split(recipe.entries, value)
    if recipe.inline_timestamp and not timestamp:
        raise NotVerifiedError("malformed_header", f"The {recipe.header} header holds no timestamp.")
    if recipe.timestamp_header:
        timestamp = read_header(request, recipe.timestamp_header).strip()
    identity = read_header(request, recipe.id_header) if recipe.id_header else None
    return Presented(tuple(_signatures(recipe, texts)), timestamp, identity)


def _split(entries: ListFormat, value: str) -> tuple[list[str], str | None]:
    """The texts of the signatures, and that of the timestamp if it stands among them."""
    texts = [text.strip() for text in value.split(entries.separator)]
    if entries.timestamp_position:
        timestamp = texts.pop(0 if entries.timestamp_position == "first" else -1)
        return texts, timestamp
    if entries.pair is None:
        return texts, None
    pairs = [(key.strip(), text.strip()) for key, _, text in (text.partition(entries.pair) for text in texts)]
    timestamps = [text for key, text in pairs if key == entries.timestamp_key]
    return [text for key, text in pairs if key == entries.signature_key], next(iter(timestamps), None)


def _signatures(recipe: Recipe, texts: Sequence[str]) -> list[bytes]:
    decoded = [_decoded(recipe, text) for text in texts]
    signatures = [signature for signature in decoded if signature]
    if not signatures:
        form = f"`{recipe.prefix}` and " if recipe.prefix else ""
        key = f"`{recipe.entries.signature_key}` " if recipe.entries and recipe.entries.signature_key else ""
        raise NotVerifiedError(
            "malformed_header",
            f"The {recipe.header} header holds no {key}signature: expected {form}{recipe.encoding} text.",
        )
    return signatures


def _decoded(recipe: Recipe, text: str) -> bytes | None:
    if text.startswith(recipe.prefix):
        text = text[len(recipe.prefix) :]
    elif not recipe.prefix_optional:
        return None
    if recipe.encoding == "hex":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    try:
        return base64_bytes(text)
    except ValueError:
        return None


def _instant(recipe: Recipe, presented: Presented) -> Micros | None:
    if presented.timestamp is None:
        return None
    at = parse_timestamp(presented.timestamp, recipe.timestamp_unit)
    if at is None:
        header = recipe.timestamp_header or recipe.header
        raise NotVerifiedError(
            "malformed_header",
            f"The timestamp in {header} cannot be read as {recipe.timestamp_unit}: see timestamp.unit.",
        )
    return at


def _key(recipe: Recipe, secret: Secret) -> bytes:
    key = text_key(secret)
    if recipe.kind == "ed25519":
        return ed25519.public_key(secret)
    if recipe.key_encoding == "utf8":
        key = key.removeprefix(recipe.key_prefix.encode())
    else:
        key = _decoded_key(recipe, secret)
    if not key.strip():
        where = (
            f"after {recipe.key_prefix}" if recipe.key_prefix else f"once it is read as {recipe.key_encoding}"
        )
        raise ValueError(f"{secret.name} holds nothing {where}: copy the whole secret.")
    return key


def _decoded_key(recipe: Recipe, secret: Secret) -> bytes:
    text = secret.value.strip().removeprefix(recipe.key_prefix)
    try:
        return bytes.fromhex(text) if recipe.key_encoding == "hex" else base64_bytes(text)
    except ValueError:
        place = f" after {recipe.key_prefix}" if recipe.key_prefix else ""
        raise ValueError(f"{secret.name} is not {recipe.key_encoding}{place}: copy it again.") from None


def _as_hubspot_signs(url: bytes) -> bytes:
    path, mark, query = url.partition(b"?")
    return path + mark + _HUBSPOT_CODES.sub(lambda code: bytes([int(code[0][1:], 16)]), query)


def _parts(
    recipe: Recipe, request: RawRequest, timestamp: str | None, identity: str | None
) -> dict[str, bytes]:
    url = header_bytes(request.url)
    return {
        "timestamp": header_bytes(timestamp or ""),
        "id": header_bytes(identity or ""),
        "url": url,
        "url_hubspot": _as_hubspot_signs(url),
        "method": header_bytes(request.method),
        "body": request.body,
        "form": _sorted_form(request.body) if "form" in placeholders(recipe.template) else b"",
    }


def _sorted_form(body: bytes) -> bytes:
    """The names and values of a form, decoded, sorted by name and joined by nothing, as Twilio signs them:
    https://www.twilio.com/docs/usage/security#validating-requests, 2026-11-23
    """
    try:
        pairs = form_fields(body, _MOST_FORM_FIELDS)
    except ValueError:
        raise NotVerifiedError(
            "malformed_body", "The body is not a form, whose fields the signature covers."
        ) from None
    return b"".join(name + value for name, value in sorted(pairs))


def _is_signed(recipe: Recipe, key: bytes, parts: Mapping[str, bytes], presented: Presented) -> bool:
    if recipe.kind == "ed25519":
        message = render(recipe.template, parts)
        return any(ed25519.is_signature(key, signature, message) for signature in presented.signatures)
    expected = _digest(recipe, key, parts)
    return any(hmac.compare_digest(expected, signature) for signature in presented.signatures)


def _digest(recipe: Recipe, key: bytes, parts: Mapping[str, bytes]) -> bytes:
    if recipe.kind == "hash":
        message = render(recipe.template, {**parts, "secret": key})
        return hashlib.new(recipe.algorithm, message, usedforsecurity=False).digest()
    return hmac.digest(key, render(recipe.template, parts), recipe.algorithm)


def _sign(recipe: Recipe, request: RawRequest, secret: Secret, now: Micros) -> RawRequest:
    timed = recipe.inline_timestamp or recipe.timestamp_header
    timestamp = format_timestamp(now, recipe.timestamp_unit) if timed else None
    identity = _identity(recipe, request)
    if recipe.kind == "ed25519":
        raise ValueError(
            f"{secret.name} is a public key, which cannot sign: only the sender has the private one."
        )
    digest = _digest(recipe, _key(recipe, secret), _parts(recipe, request, timestamp, identity))
    signature = digest.hex() if recipe.encoding == "hex" else b64encode(digest).decode("ascii")
    value = _joined(recipe.entries, f"{recipe.prefix}{signature}", timestamp or "")
    added = {recipe.header: value, recipe.timestamp_header: timestamp, recipe.id_header: identity}
    return replace(request, headers={**request.headers, **dict(_present(added))})


def _identity(recipe: Recipe, request: RawRequest) -> str | None:
    """The id that the request has, or one made of its body: the same content is the same message."""
    if recipe.id_header is None:
        return None
    made = f"msg_{hashlib.sha256(request.body).hexdigest()[:24]}"
    return request.headers.get(recipe.id_header.lower(), made)


def _joined(entries: ListFormat | None, signature: str, timestamp: str) -> str:
    if entries is None:
        return signature
    if entries.signature_key:
        signature = f"{entries.signature_key}{entries.pair}{signature}"
    texts = [signature]
    if entries.timestamp_key:
        texts.insert(0, f"{entries.timestamp_key}{entries.pair}{timestamp}")
    if entries.timestamp_position:
        texts.insert(0 if entries.timestamp_position == "first" else 1, timestamp)
    return entries.separator.join(texts)


def _present(headers: Mapping[str | None, str | None]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name and value is not None:
            yield name.lower(), value


TYPE = SchemeType("hmac", OPTIONS, build, contradictions)
