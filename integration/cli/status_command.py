"""`leadwire status`: what waits, what went wrong, what the budget leaves, and when all is delivered."""

from __future__ import annotations

import click

from integration.cli.output import console, json_option, print_json
from integration.cli.render import print_facts, print_text
from integration.cli.stored import reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.store.schema import is_newer, said_of, version_of
from integration.store.views.status_view import STATUS, read_status


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """What waits and for what, what is dead, what the budget leaves, when all is delivered."""
    settings = Settings.read()
    with reading(settings) as connection:
        found = read_status(connection, now(), settings.hubspot_rate_limit)
        version = version_of(connection)
    if as_json:
        schema = {"version": version, "newer_than_program": is_newer(version)}
        print_json({**STATUS.as_json(found), "schema": schema})
        return
    out = console()
    print_facts(out, STATUS, found)
    if is_newer(version):
        print_text(out, f"{'store':<9} works; {said_of(version)}")
