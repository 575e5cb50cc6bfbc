"""`leadwire check`: everything that is wrong in the mapping files, at once."""

from __future__ import annotations

import os
from pathlib import Path

import click

from integration.cli.output import json_option, print_json
from integration.config.sources import BrokenSource, Configuration, load_configuration
from integration.core.errors import Problem
from integration.core.settings import Settings
from integration.core.words import counted, listed
from integration.operate.account_check import portal_problems


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, directory: Path | None, *, as_json: bool) -> None:
    """Find every problem in the mapping files, at once.

    DIRECTORY is the folder of the mapping files (default: MAPPINGS_DIR). One line each:
    file:line, the position in the file, what is wrong, what to write instead.
    """
    checked = directory or Settings.read().mappings_dir
    configuration = load_configuration(checked, os.environ)
    problems = _problems(configuration, checked)
    if as_json:
        print_json({"sources": [*configuration.sources], "problems": [_as_json(found) for found in problems]})
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(_summary(configuration, problems))
    context.exit(1 if problems else 0)


def _problems(configuration: Configuration, directory: Path) -> tuple[Problem, ...]:
    if configuration.problems or configuration.sources:
        return (*configuration.problems, *portal_problems(configuration))
    cure = "make one: a folder with a mapping.yaml; its name in small letters, digits, - and _"
    return (Problem(str(directory), "", "holds no source", cure),)


def _summary(configuration: Configuration, problems: tuple[Problem, ...]) -> str:
    names = [*configuration.sources]
    if not problems:
        return f"No problems in {counted(len(names), 'source')}: {listed(names)}."
    broken = [source.name for source in configuration.sources.values() if isinstance(source, BrokenSource)]
    off = f" Off until they are mended: {listed(broken)}." if broken else ""
    return f"{counted(len(problems), 'problem')} in {counted(len(names), 'source')}.{off}"


def _as_json(problem: Problem) -> dict[str, str]:
    return {
        "place": problem.place,
        "path": problem.path,
        "message": problem.message,
        "cure": problem.cure,
    }
