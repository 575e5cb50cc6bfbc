"""`leadwire sandbox`."""

from __future__ import annotations

import click

from integration.config.folders import shipped_mappings
from integration.config.sources import load_fields
from integration.core.settings import RateLimit, Settings, parse_rate_limit
from integration.lead.properties import table_of
from integration.sandbox import run_sandbox
from integration.sandbox.contact_store import Property
from integration.supervise import on_termination


def _rate_limit(text: str) -> RateLimit:
    try:
        return parse_rate_limit(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_TYPES = {
    "text": "string", "integer": "number", "decimal": "number", "boolean": "bool", "time": "datetime",
    "date": "date",
}  # fmt: skip


def _own_properties() -> list[Property]:
    catalogue = load_fields(Settings.read().mappings_dir, shipped_mappings())
    table = table_of(catalogue)
    return [
        Property(target, _TYPES[field.type])
        for field in catalogue.fields.values()
        if field.custom and (target := table.property_of(field.name))
    ] + [Property(name, unique=True) for name in catalogue.contacts.unique.values()]


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0: any free one."
)
@click.option(
    "--rate-limit",
    type=_rate_limit,
    metavar="N/SECONDS",
    help="Answer 429 above this, as 100/10.",
)
def sandbox(port: int, rate_limit: RateLimit | None) -> None:
    """Run a stand-in HubSpot on this machine.

    It keeps leads and contacts in memory, follows HubSpot's Leads API and today's contacts API, and has
    control calls under /_sandbox: PUT /_sandbox/leads/GUID puts a lead in place, GET /_sandbox/requests
    shows what arrived, POST /_sandbox/faults makes trouble. Contacts have the fields of
    MAPPINGS_DIR/fields.yaml as properties.
    """
    server = run_sandbox(port, rate_limit, properties=_own_properties())
    click.echo(f"The stand-in HubSpot listens. Point Leadwire at it: HUBSPOT_BASE_URL={server.url}")
    with on_termination(server.close):
        server.wait()
