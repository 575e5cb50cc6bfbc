"""`leadwire new`: a folder for a source that passes `check` and `test` at once."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console

from integration.authoring.guess import Guess, Guesses
from integration.authoring.new_source import NewSource, copied, guessed, put
from integration.body import MalformedBody
from integration.cli.output import console, plain
from integration.cli.payloads import PayloadFileError, read_configuration, unsigned_request, usable_source
from integration.cli.render import print_table
from integration.config.folders import folder_of, is_source_name
from integration.config.sources import Configuration, Source, load_configuration
from integration.core.settings import Settings
from integration.core.words import counted
from integration.store.views.columns import Column, Fit, View


@click.command()
@click.argument("name")
@click.option("--like", metavar="SOURCE", help="Copy the folder of this source, with settings of its own.")
@click.option(
    "--from",
    "event",
    metavar="EVENT",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Guess the mapping from this recorded payload.",
)
def new(*, name: str, like: str | None, event: Path | None) -> None:
    """Make the folder of a new source, either like another one or from a recorded payload.

    It has a mapping.yaml, a README.md and examples/, and passes `check` and `test` at once. From a payload,
    every guess is marked with a comment that says why and what to check. Nothing is ever overwritten.
    """
    settings = Settings.read()
    directory = settings.mappings_dir
    _check_usage(name, like, event, directory)
    configuration = read_configuration(settings)
    made = (
        _from_event(name, event, configuration, settings)
        if event
        else _like(name, usable_source(configuration, str(like)), directory)
    )
    folder = put(directory, made)
    _print_made(console(), made, folder, _usable(directory, name))


def _check_usage(name: str, like: str | None, event: Path | None, directory: Path) -> None:
    if (like is None) == (event is None):
        raise click.UsageError("give either --like SOURCE or --from EVENT")
    if not is_source_name(name):
        raise click.BadParameter(
            f"{name!r} cannot be a source's name: use small letters, digits, - and _; it is part of the URL"
        )
    if (directory / name).exists():
        raise click.BadParameter(f"{directory / name} is there already; choose another name or remove it")


def _from_event(name: str, event: Path, configuration: Configuration, settings: Settings) -> NewSource:
    request = unsigned_request(name, event, {}, f"/hooks/{name}")
    try:
        return guessed(name, event.suffix, request, configuration.catalogue, settings.max_body_bytes)
    except MalformedBody as error:
        raise PayloadFileError(f"{event}: {error.detail}") from error


def _like(name: str, source: Source, directory: Path) -> NewSource:
    return copied(name, source, folder_of(source.name, directory))


def _usable(directory: Path, name: str) -> Source:
    return usable_source(load_configuration(directory, os.environ), name)


def _print_made(out: Console, made: NewSource, folder: Path, source: Source) -> None:
    _line(
        out, f"Made {folder}: {', '.join(sorted(made.files, key=lambda path: ('/' in path, path)))}", "bold"
    )
    if made.guesses:
        _print_guesses(out, made.guesses)
    tests = len(source.mapping.tests)
    _line(
        out,
        f"It has no problems, and {counted(tests, 'test')} that {'passes' if tests == 1 else 'pass'}.",
        "green",
    )
    _line(out, "Next:", "bold")
    for number, step in enumerate(_steps(made, folder, source), start=1):
        _line(out, f"  {number}. {step}")


_GUESSES: View[tuple[str, Guess | None]] = View(
    "guesses",
    (
        Column("", "guess", lambda row: row[0], fit=Fit.ROW),
        Column("", "value", lambda row: _shown(row[1]), fit=Fit.ROW),
        Column("", "because", lambda row: row[1].why if row[1] else "nothing looks like it"),
    ),
)


def _print_guesses(out: Console, guesses: Guesses) -> None:
    print_table(out, _GUESSES, _all(guesses))


def _all(guesses: Guesses) -> list[tuple[str, Guess | None]]:
    keys = {f"keys ({noun})": guess for noun, guess in guesses.keys.items()}
    lead: dict[str, Guess | None] = {
        f"lead.{kind}": guess for kind, guess in {**guesses.lead, **keys}.items()
    }
    fields: dict[str, Guess | None] = {f"set.{field}": guess for field, guess in guesses.fields.items()}
    each: dict[str, Guess | None] = {"event.each": guesses.each} if guesses.each else {}
    event = {"event.id": guesses.id, "event.type": guesses.type, "event.time": guesses.time}
    return [*{**each, **event, **(lead or {"lead": None}), **(fields or {"set": None})}.items()]


def _shown(guess: Guess | None) -> str:
    if guess is None:
        return "-"
    if isinstance(guess.spec, str):
        return guess.spec
    conversion = guess.spec.get("as")
    return f"{guess.spec['from']}" + (f" as {conversion}" if conversion else "")


def _steps(made: NewSource, folder: Path, source: Source) -> list[str]:
    secret = source.mapping.verify.secrets[0]
    tests = source.mapping.tests
    example = tests[0].given if tests else None
    read = (
        f'Read {folder}/mapping.yaml: check what is marked "guess", and write how the sender signs.'
        if made.guesses
        else f"Read {folder}/mapping.yaml and README.md, and change what is different for {made.name}."
    )
    return [
        read,
        *([f"Replace names and addresses of people in {example}."] if made.guesses else []),
        *([f"leadwire try {made.name} {example} --verbose"] if example else []),
        f"Set {secret}, and give the sender the address https://YOUR-HOST/hooks/{made.name}.",
    ]


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(plain(text), style=style, soft_wrap=True)
