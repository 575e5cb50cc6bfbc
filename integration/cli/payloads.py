"""What `try`, `test` and `send` share: a payload file as the request that its source would send."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from integration.body import MalformedBody, decode
from integration.config.folders import shipped_mappings
from integration.config.sources import Configuration, Source, load_configuration
from integration.config.versions import NO_VERSIONS, Versions
from integration.core.clock import now
from integration.core.errors import LeadwireError
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, RawRequest
from integration.store.inbox import Fetched

_CONTENT_TYPES = {
    ".json": "application/json",
    ".form": "application/x-www-form-urlencoded",
    ".xml": "text/xml",
}


class BrokenMappingError(LeadwireError):
    """The source cannot be used before its mapping file is fixed."""


class PayloadFileError(LeadwireError):
    """The payload file cannot be read."""


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return name.lower(), value


header_option = click.option(
    "--header",
    "headers",
    type=_header,
    multiple=True,
    metavar="NAME=VALUE",
    help="A header that the source sends; may be given several times.",
)


def read_configuration(
    settings: Settings, environ: Mapping[str, str] = os.environ, versions: Versions = NO_VERSIONS
) -> Configuration:
    """All sources, as the files are now; `environ` holds their secrets, `versions` what went on while a file
    had mistakes.
    """
    return load_configuration(settings.mappings_dir, environ, shipped_mappings(), versions)


def usable_source(configuration: Configuration, name: str) -> Source:
    """The source of this name; wrong usage if there is none, BrokenMappingError if it has problems."""
    source = configuration.sources.get(name)
    if source is None:
        known = ", ".join(configuration.sources) or "none"
        raise click.BadParameter(f"there is no source named {name!r}; there are: {known}")
    if not isinstance(source, Source) or name in configuration.mistakes:
        raise BrokenMappingError("\n".join(str(found) for found in configuration.mistakes[name].problems))
    return source


def set_path(payload: dict[str, Any], path: str, value: object) -> None:
    """Set the value at a dotted path of a decoded payload; objects on the way are made where missing.

    Raises PayloadFileError where the path leads through something else.
    """
    *parents, last = path.split(".")
    node: Any = payload
    for key in parents:
        node = node.setdefault(key, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise PayloadFileError(f"{path}: the payload has no object there")
    node[last] = value


def request_from_file(source: Source, file: Path, headers: Mapping[str, str], url: str) -> RawRequest:
    """The request that carries this file's bytes, unsigned. Raises PayloadFileError."""
    return unsigned_request(source.name, file, headers, url)


def answer_from_file(source: Source, file: Path | None) -> Fetched | None:
    """The file's bytes as the answer of the source's API; None without a file. Raises PayloadFileError."""
    if file is None:
        return None
    if source.mapping.fetch is None:
        raise PayloadFileError(f"{source.mapping.file}: has no `fetch:`, so nothing is fetched")
    request = unsigned_request(source.name, file, {}, "")
    answer = Fetched({"content-type": request.headers["content-type"]}, request.body)
    try:
        decode(answer.headers, answer.body, source.mapping.fetch.max_bytes)
    except MalformedBody as error:
        raise PayloadFileError(f"{file}: {error.detail}") from error
    return answer


def unsigned_request(name: str, file: Path, headers: Mapping[str, str], url: str) -> RawRequest:
    """The same for a source of this name that need not exist yet."""
    try:
        body = file.read_bytes()
    except OSError as error:
        raise PayloadFileError(f"{file}: cannot be read: {error.strerror}") from error
    content_type = _CONTENT_TYPES.get(file.suffix, "application/json")
    return RawRequest(
        MAIN_ACCOUNT,
        source=name,
        method="POST",
        url=url,
        query=url.partition("?")[2],
        headers={"content-type": content_type, **headers},
        body=body,
        received_at=now(),
    )
