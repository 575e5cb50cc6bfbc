"""`leadwire fields`: what the HubSpot account's contacts have."""

from __future__ import annotations

import click

from integration.cli.output import json_option, print_json
from integration.cli.payloads import read_configuration
from integration.cli.stored import opened
from integration.config.sources import FIELDS_FILE
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.core.words import counted
from integration.operate.account_check import portal_problems, pull, write_portal
from integration.pipeline.shared_token import token_of


@click.group()
def fields() -> None:
    """The properties of the HubSpot account, which mappings are checked against."""


@fields.command(name="pull")
@json_option
def pull_fields(*, as_json: bool) -> None:
    """Read the account's contact properties into MAPPINGS_DIR/fields.yaml.

    Names, types, options and what is read-only go under `portal:`; all else in the file stays as it is.
    From then on `leadwire check` finds fields that HubSpot would refuse. For HUBSPOT_API=contacts.
    """
    settings = Settings.read()
    with opened(settings) as store:
        portal = pull(settings, token_of(settings, store, MAIN_ACCOUNT, now))
    file = settings.mappings_dir / FIELDS_FILE
    write_portal(file, portal)
    problems = list(portal_problems(read_configuration(settings)))
    if as_json:
        print_json({"properties": len(portal), "file": str(file), "problems": len(problems)})
        return
    click.echo(f"{counted(len(portal), 'property', 'properties')} of contacts are in {file}.")
    if problems:
        click.echo(
            f"{counted(len(problems), 'field')} of your mappings would be refused: see `leadwire check`."
        )
