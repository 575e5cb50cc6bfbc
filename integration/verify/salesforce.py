"""Salesforce outbound messages: a token in the URL, and the organization that the SOAP body names.

https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging.htm
(2026-11-23).
Salesforce signs nothing: the token proves who sends, the id guards against another organization that was
given the URL by mistake. The secret is written `organization id:token`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from integration.core.values import Micros, RawRequest, Secret, Verdict
from integration.verify import token
from integration.verify.scheme import (
    NotVerifiedError,
    Scheme,
    SchemeType,
    object_schema,
    text_key,
    usable_keys,
)

OPTIONS = object_schema(
    "Salesforce outbound messages, which are not signed: a token in the URL, and the organization's id in the"
    " body. Each secret is written as organization id:token.",
    {
        "query": {
            "type": "string",
            "minLength": 1,
            "description": "The parameter of the URL that carries the token. Default key.",
        }
    },
)
_PATH = (
    "{http://schemas.xmlsoap.org/soap/envelope/}Body"
    "/{http://soap.sforce.com/2005/09/outbound}notifications"
    "/{http://soap.sforce.com/2005/09/outbound}OrganizationId"
)
_LENGTHS = (15, 18)  # the last three characters of the long form only repeat which letters are capitals


def build(options: Mapping[str, Any]) -> Scheme:
    """See OPTIONS."""
    by_token = token.build({"query": options.get("query", "key")})

    def verify(request: RawRequest, secrets: Sequence[Secret], now: Micros) -> Verdict:
        try:
            keys, _ = usable_keys(secrets, lambda secret: text_key(_token(secret)))
            usable = [secret for secret, _ in keys]
            verdict = by_token.verify(request, [_token(secret) for secret in usable], now)
            if not verdict.accepted:
                return verdict
            return _of_organization(request.body, usable, verdict)
        except NotVerifiedError as error:
            return error.verdict

    def sign(request: RawRequest, secret: Secret, now: Micros) -> RawRequest:
        return by_token.sign(request, _token(secret), now)

    return replace(by_token, name="salesforce", verify=verify, sign=sign)


def _of_organization(body: bytes, secrets: Sequence[Secret], verdict: Verdict) -> Verdict:
    found = _organization(body)
    matched = [secret for secret in secrets if secret.name == verdict.secret_name]
    if any(_is_same(found, secret.value.partition(":")[0].strip()) for secret in matched):
        return verdict
    return Verdict(
        "organization_mismatch",
        f"The token is right, but the message is of another organization than {verdict.secret_name} names:"
        " compare with Company Information in Salesforce's setup.",
    )


def _is_same(given: str, ours: str) -> bool:
    one, other = given.encode("utf-8", "surrogatepass"), ours.encode("utf-8", "surrogatepass")
    return len(one) in _LENGTHS and len(other) in _LENGTHS and hmac.compare_digest(one[:15], other[:15])


def _organization(body: bytes) -> str:
    try:
        found = fromstring(body, forbid_dtd=True).findall(_PATH)
    except (DefusedXmlException, ParseError, ValueError, LookupError):
        found = []
    if len(found) != 1 or not found[0].text:
        raise NotVerifiedError(
            "malformed_body", "The body is no SOAP message with one OrganizationId, as Salesforce sends it."
        )
    return found[0].text.strip()


def _token(secret: Secret) -> Secret:
    """The part of the secret that stands in the URL; raises ValueError if the secret is not of two parts."""
    text_key(secret)
    organization, colon, value = secret.value.partition(":")
    if not colon or len(organization.strip()) not in _LENGTHS or not value.strip():
        raise ValueError(f"{secret.name} is not organization id:token: the id has 15 or 18 characters.")
    return Secret(secret.name, value.strip())


TYPE = SchemeType("salesforce", OPTIONS, build)
