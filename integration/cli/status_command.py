"""`leadwire status`: what waits, what went wrong, what the budget leaves, and when all is delivered."""

from __future__ import annotations

import os

import click

from integration.cli.output import console, json_option, print_json
from integration.cli.render import print_facts
from integration.cli.stored import opened
from integration.config.folders import shipped_mappings
from integration.config.sources import load_configuration
from integration.core.clock import now
from integration.core.settings import Settings
from integration.pipeline.keeper import stored_versions
from integration.store.views.status_view import STATUS, read_status


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """What waits and for what, what is dead, what the budget leaves, when all is delivered."""
    settings = Settings.read()
    with opened(settings) as store:
        mistakes = load_configuration(
            settings.mappings_dir, os.environ, shipped_mappings(), stored_versions(store),
            only_configured=True,
        ).mistakes  # fmt: skip
        with store.read() as connection:
            found = read_status(connection, now(), settings.hubspot_rate_limit, mistakes)
    if as_json:
        print_json(STATUS.as_json(found))
    else:
        print_facts(console(), STATUS, found)
