"""The command line as a whole: sections, version, errors, exit codes."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from integration import __version__
from integration.cli import SECTIONS, main
from integration.cli.groups import LazyGroup


def test_help_lists_every_command_under_its_section() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for heading, commands in SECTIONS.items():
        section = text.split(f"{heading}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines() if line[2] != " "] == list(commands)


def test_every_command_explains_itself() -> None:
    for commands in SECTIONS.values():
        for name in commands:
            result = CliRunner().invoke(main, [name, "--help"])
            assert result.exit_code == 0
            assert main.get_command(click.Context(main), name).get_short_help_str()  # type: ignore[union-attr]


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"leadwire {__version__}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["trie"])
    assert result.exit_code == 2
    assert "No such command 'trie'" in result.stderr


def test_a_deliberate_error_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_WINDOW", "soon")
    monkeypatch.setenv("PORT", "http")
    result = CliRunner().invoke(main, ["db", "upgrade"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "leadwire: BUNDLE_WINDOW: 'soon' cannot be used: could not convert string to float: 'soon'",
        "leadwire: PORT: 'http' cannot be used: invalid literal for int() with base 10: 'http'",
    ]


def test_a_fault_of_ours_is_not_dressed_up_as_a_deliberate_error() -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    group = LazyGroup("group", sections={"All": {"broken": "unused:unused"}})
    group.get_command = lambda *_: broken  # type: ignore[method-assign]
    assert isinstance(CliRunner().invoke(group, ["broken"]).exception, ZeroDivisionError)


def test_a_command_can_be_tried_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "integration", "--version"], capture_output=True, check=True)
    assert done.stdout.decode() == f"leadwire {__version__}\n"


def test_looking_at_mappings_imports_neither_web_nor_worker() -> None:
    probe = (
        "import sys\n"
        "from integration.cli import main\n"
        "main(['check', '--help'], standalone_mode=False)\n"
        "heavy = {'gunicorn', 'flask', 'gevent', 'alembic'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True)
