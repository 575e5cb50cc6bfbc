"""The `leadwire` command (level 5): one file for each kind of command, listed here."""

from __future__ import annotations

import click

from integration import __version__
from integration.cli.groups import LazyGroup

SECTIONS = {
    "First contact": {
        "demo": "integration.cli.demo:demo",
    },
    "Run": {
        "serve": "integration.cli.serve_command:serve",
        "worker": "integration.cli.worker_command:worker",
        "sandbox": "integration.cli.sandbox_command:sandbox",
        "db": "integration.cli.serve_command:db",
    },
    "Write mappings": {
        "new": "integration.cli.new_command:new",
        "check": "integration.cli.check_command:check",
        "fields": "integration.cli.fields_command:fields",
        "test": "integration.cli.author_commands:test",
        "try": "integration.cli.author_commands:try_",
        "send": "integration.cli.send_command:send",
    },
    "Look": {
        "sources": "integration.cli.look_commands:sources",
        "events": "integration.cli.look_commands:events",
        "leads": "integration.cli.leads_command:leads",
        "status": "integration.cli.status_command:status",
        "doctor": "integration.cli.doctor_command:doctor",
    },
    "Fix": {
        "dead": "integration.cli.dead_command:dead",
        "replay": "integration.cli.replay_command:replay",
    },
}


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="leadwire", message="%(prog)s %(version)s")
def main() -> None:
    """Receive billing and CRM webhooks, translate them by mapping files, update HubSpot leads.

    Settings are environment variables (docs/operations.md). Exit codes: 0 done, 1 found problems,
    2 wrong usage.
    """
