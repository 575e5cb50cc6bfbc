"""`leadwire send`: a payload, signed as its source would, through real HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from integration.cli.output import printable
from integration.cli.payloads import (
    PayloadFileError,
    header_option,
    read_configuration,
    request_from_file,
    set_path,
    usable_source,
)
from integration.config.sources import Source
from integration.core.clock import now
from integration.core.errors import LeadwireError, SettingError
from integration.core.settings import Settings
from integration.core.values import RawRequest, Secret
from integration.http.client import Answer, Bounds, Client, Why

BOUNDS = Bounds(seconds=30.0, max_bytes=1024 * 1024, whole=False)
_CURE = "start it with `leadwire serve`, or give its address with --url"


class UnreachableError(LeadwireError):
    """Nobody answered at the address."""


def _assignment(text: str) -> tuple[str, object]:
    path, separator, value = text.partition("=")
    if not path or not separator:
        raise click.BadParameter(f"{text!r} is not PATH=VALUE")
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


@click.command()
@click.argument("source")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--url", help="Where to; default: http://127.0.0.1:$PORT/hooks/SOURCE.")
@click.option(
    "--secret-setting", metavar="NAME", help="Sign with this setting of the source; default: the first set."
)
@click.option(
    "--set",
    "values",
    type=_assignment,
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a value of a JSON payload, as `id=evt_2`; may be given several times.",
)
@header_option
@click.pass_context
def send(
    context: click.Context,
    *,
    source: str,
    file: Path,
    url: str | None,
    secret_setting: str | None,
    values: tuple[tuple[str, object], ...],
    headers: tuple[tuple[str, str], ...],
) -> None:
    """Sign the payload in FILE as SOURCE would, and POST it.

    Prints the answer; exit code 1 unless it is 2xx. A payload that was sent before is a duplicate: give
    it another event id, as `--set id=evt_2`.
    """
    settings = Settings.read()
    found = usable_source(read_configuration(settings), source)
    target = url or f"http://127.0.0.1:{settings.port}/hooks/{found.name}"
    signed_url = target if url or not settings.public_url else f"{settings.public_url}/hooks/{found.name}"
    request = request_from_file(found, file, dict(headers), signed_url)
    signed = _signed(found, _changed(request, file, values), _secret(found, secret_setting))
    answer = _post(signed, target)
    click.echo(f"{answer.status} {answer.reason}")
    if answer.body:
        click.echo(printable(answer.text))
    context.exit(0 if answer.is_success else 1)


def _changed(request: RawRequest, file: Path, values: tuple[tuple[str, object], ...]) -> RawRequest:
    if not values:
        return request
    try:
        payload = json.loads(request.body)
    except ValueError as error:
        raise PayloadFileError(f"{file}: is not JSON, so --set cannot change it") from error
    for path, value in values:
        set_path(payload, path, value)
    return replace(request, body=json.dumps(payload, ensure_ascii=False).encode())


def _secret(source: Source, name: str | None) -> Secret:
    names = source.mapping.verify.secrets
    if name is not None and name not in names:
        raise click.BadParameter(f"{name} is not a secret of {source.name}; there are: {', '.join(names)}")
    found = next((secret for secret in source.secrets if name in (None, secret.name)), None)
    if found is None:
        raise SettingError(f"the request cannot be signed: set {name or ' or '.join(names)}")
    return found


def _signed(source: Source, request: RawRequest, secret: Secret) -> RawRequest:
    try:
        return source.scheme.sign(request, secret, now())
    except ValueError as error:
        raise SettingError(f"the request cannot be signed: {error}") from error


def _post(signed: RawRequest, target: str) -> Answer:
    """POST what was signed to `target`; a credential that the scheme put into the query goes along."""
    query = urlsplit(signed.url).query
    address = urlsplit(target)._replace(query=query).geturl()
    answer = Client().request("POST", address, BOUNDS, headers=dict(signed.headers), body=signed.body)
    if isinstance(answer, Answer):
        return answer
    if answer.why is Why.NO_ADDRESS:
        cure = "look at --url, and for line breaks in the secret and in --header"
        raise SettingError(f"the request cannot be sent: {answer.words}; {cure}")
    raise UnreachableError(f"{target}: nobody answers: {answer.words}; {_CURE}")
