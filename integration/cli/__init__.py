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
        "serve": "integration.cli.run:serve",
        "worker": "integration.cli.worker:worker",
        "sandbox": "integration.cli.sandbox:sandbox",
        "db": "integration.cli.run:db",
    },
    "Write mappings": {
        "new": "integration.cli.new:new",
        "check": "integration.cli.check:check",
        "fields": "integration.cli.fields:fields",
        "test": "integration.cli.author:test",
        "try": "integration.cli.author:try_",
        "send": "integration.cli.send:send",
    },
    "Look": {
        "sources": "integration.cli.look:sources",
        "events": "integration.cli.look:events",
        "leads": "integration.cli.leads:leads",
        "status": "integration.cli.status:status",
        "doctor": "integration.cli.doctor:doctor",
    },
    "Mend": {
        "dead": "integration.cli.dead:dead",
        "replay": "integration.cli.replay:replay",
    },
}


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="leadwire", message="%(prog)s %(version)s")
def main() -> None:
    """Receive billing and CRM webhooks, translate them by mapping files, update HubSpot leads.

    Settings are environment variables (docs/operations.md). Exit codes: 0 done, 1 found problems,
    2 wrong usage.
    """
