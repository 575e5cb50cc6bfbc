"""`leadwire check`: everything that is wrong in the files that people edit, at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from integration.cli.output import json_option, print_json
from integration.cli.payloads import read_configuration
from integration.config.sources import FIELDS, MAPPING_FILE, Configuration, load_configuration
from integration.core.errors import Problem
from integration.core.settings import Settings
from integration.core.words import counted, listed
from integration.operate.account_check import portal_problems


@click.command()
@click.argument("what", nargs=-1, metavar="[SOURCE|DIRECTORY]...")
@json_option
@click.pass_context
def check(context: click.Context, what: tuple[str, ...], *, as_json: bool) -> None:
    """Find every problem in the mapping files, at once.

    In those of MAPPINGS_DIR and the shipped ones; or of the sources given, or in the folders given: each that
    of one source, or one that holds such folders. One line each: file:line, the position in the file, what is
    wrong, what to write instead.
    """
    checked = [*_checked(what)]
    problems = tuple(dict.fromkeys(problem for _, _, found in checked for problem in found))
    names = [name for _, group, _ in checked for name in group]
    if as_json:
        print_json({"sources": names, "problems": [_as_json(found) for found in problems]})
    else:
        for problem in problems:
            click.echo(str(problem))
        unusable = [name for one, group, _ in checked for name in group if name in one.mistakes]
        click.echo(_summary(names, unusable, problems))
    context.exit(1 if problems else 0)


_Checked = tuple[Configuration, list[str], tuple[Problem, ...]]


def _checked(what: tuple[str, ...]) -> Iterator[_Checked]:
    """What each argument names: a configuration, those of its sources that are meant, their problems."""
    settings = Settings.read()
    if not what:
        configuration = read_configuration(settings)
        yield configuration, [*configuration.sources], _problems(configuration, settings.mappings_dir)
    for argument in what:
        folder = Path(argument)
        if argument in (known := read_configuration(settings)).sources:
            yield _of_source(known, argument)
        elif (folder / MAPPING_FILE).is_file():
            yield _of_source(load_configuration(folder.parent, os.environ), folder.name)
        elif folder.is_dir():
            configuration = load_configuration(folder, os.environ)
            yield configuration, [*configuration.sources], _problems(configuration, folder)
        else:
            raise click.BadParameter(
                f"there is no source and no folder named {argument!r}; sources: {listed([*known.sources])}"
            )


def _of_source(configuration: Configuration, name: str) -> _Checked:
    """One source, with the problems of fields.yaml, which may be its own."""
    place = f"{os.sep}{name}{os.sep}{MAPPING_FILE}"
    found = (*configuration.problems, *portal_problems(configuration))
    of_fields = configuration.mistakes[FIELDS].problems if FIELDS in configuration.mistakes else ()
    own = tuple(problem for problem in found if place in f"{os.sep}{problem.place}")
    return configuration, [name], (*of_fields, *own)


def _problems(configuration: Configuration, directory: Path) -> tuple[Problem, ...]:
    if configuration.problems or configuration.sources:
        return (*configuration.problems, *portal_problems(configuration))
    cure = "make one: a folder with a mapping.yaml; its name in small letters, digits, - and _"
    return (Problem(str(directory), "", "holds no source", cure),)


def _summary(names: list[str], unusable: list[str], problems: tuple[Problem, ...]) -> str:
    if not problems:
        return f"No problems in {counted(len(names), 'source')}: {listed(names)}."
    off = f" Not used as they are until they are fixed: {listed(unusable)}." if unusable else ""
    return f"{counted(len(problems), 'problem')} in {counted(len(names), 'source')}.{off}"


def _as_json(problem: Problem) -> dict[str, str]:
    return {
        "place": problem.place,
        "path": problem.path,
        "message": problem.message,
        "cure": problem.cure,
    }
