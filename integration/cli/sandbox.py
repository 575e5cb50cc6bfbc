"""`leadwire sandbox`."""

from __future__ import annotations

import click

from integration.sandbox import run_sandbox
from integration.settings import RateLimit, parse_rate_limit
from integration.supervise import on_termination


def _rate_limit(text: str) -> RateLimit:
    try:
        return parse_rate_limit(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


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

    It keeps leads in memory, follows HubSpot's Leads API, and has control calls under /_sandbox:
    PUT /_sandbox/leads/GUID puts a lead in place, GET /_sandbox/requests shows what arrived,
    POST /_sandbox/faults makes trouble.
    """
    server = run_sandbox(port, rate_limit)
    click.echo(f"The stand-in HubSpot listens. Point Leadwire at it: HUBSPOT_BASE_URL={server.url}")
    with on_termination(server.close):
        server.wait()
