"""`leadwire doctor`: what would keep this deployment from working."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from integration.cli.output import console, json_option, plain, print_json
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.core.words import counted
from integration.operate.doctor import Finding, examine

_MARKS = {"good": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Look for what would keep this deployment from working: each finding with its cure.

    Looks at the store, its disk, the mapping files, HubSpot with its token, and the clock. Makes one
    request to HubSpot. Exit code 1 if there is a problem.
    """
    findings = list(examine(Settings.read(), MAIN_ACCOUNT, os.environ, now, _mounts))
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    context.exit(1 if any(finding.grade == "problem" for finding in findings) else 0)


def _print(findings: list[Finding]) -> None:
    out = console()
    for finding in findings:
        mark, style = _MARKS[finding.grade]
        out.print(plain(f"{mark:<8}"), style=style, end="")
        out.print(plain(f"{finding.subject}: {finding.text}"), soft_wrap=True)
        if finding.cure:
            out.print(plain(f"{'':<8}{finding.cure}"), style="dim", soft_wrap=True)
    problems = sum(finding.grade == "problem" for finding in findings)
    out.print(plain(f"\n{counted(problems, 'problem')}." if problems else "\nNo problems."))


def _mounts() -> str:
    """Which file systems are mounted where; "" on machines that do not tell."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
