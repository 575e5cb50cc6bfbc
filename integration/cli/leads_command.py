"""`leadwire leads`: the leads that are known here, and one of them with every field's history."""

from __future__ import annotations

import click

from integration.cli.filters import found_lead, page_options
from integration.cli.output import json_option, print_json
from integration.cli.render import print_listing, print_page
from integration.cli.stored import opened, reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT
from integration.core.words import counted
from integration.lead.identity import IdentifierKey
from integration.lead.record import RecordState
from integration.operate.linking import link, unlink
from integration.store.views.lead_views import (
    LEADS,
    find_lead,
    find_lead_id,
    lead_details,
    lead_page,
    list_leads,
)
from integration.store.views.waiting import WaitsFor


def _identifier(text: str) -> IdentifierKey:
    kind, separator, value = text.partition("=")
    if not (kind and separator and value):
        raise click.BadParameter("expected KIND=VALUE, as email=ann@example.com or stripe_customer=cus_1")
    return kind, value


@click.group(invoke_without_command=True)
@click.option("--lead", metavar="LEAD", help="Only this lead: its id, guid, email, or KIND=VALUE.")
@click.option(
    "--state", type=click.Choice([state.value for state in RecordState]), help="Only leads in this state."
)
@click.option("--cause", metavar="CODE", help="Only leads whose last request failed for this cause.")
@click.option(
    "--waiting-for",
    "what",
    type=click.Choice([what.value for what in WaitsFor]),
    help="Only leads that wait for this: to be found at HubSpot, HubSpot that failed, a pause, their turn.",
)
@page_options
@json_option
@click.pass_context
def leads(
    context: click.Context,
    *,
    lead: str | None,
    state: str | None,
    cause: str | None,
    what: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """The leads, newest first, and what each waits for; `leads show ID` shows one with every field."""
    if context.invoked_subcommand:
        return
    if lead is not None and (state or cause or what or before):
        raise click.UsageError("--lead means one lead: leave the other conditions away")
    with reading(Settings.read()) as connection:
        if lead is not None:
            one = find_lead(connection, MAIN_ACCOUNT, lead, now())
            found = [one] if one else []
        else:
            kind = WaitsFor(what) if what else None
            found = list_leads(
                connection,
                MAIN_ACCOUNT,
                now=now(),
                limit=limit,
                before=before,
                state=RecordState(state) if state else None,
                cause=cause,
                what=kind,
            )
    print_listing(LEADS, found, limit if lead is None else limit + 1, as_json=as_json)


@leads.command(name="show")
@click.argument("known_by", metavar="ID|GUID|EMAIL")
@json_option
def show_lead(*, known_by: str, as_json: bool) -> None:
    """One lead whole: each field, what HubSpot has, and the event and mapping line that set it.

    Besides its id, guid, contact id or email, any other identifier finds it: stripe_customer=cus_1.
    """
    with reading(Settings.read()) as connection:
        id = find_lead_id(connection, MAIN_ACCOUNT, known_by)
        details = lead_details(connection, MAIN_ACCOUNT, id, now=now()) if id else None
    if details is None:
        raise click.BadParameter(f"there is no lead {known_by!r}; `leadwire leads` lists them")
    print_page(lead_page(details), as_json=as_json)


@leads.command(name="link")
@click.argument("identifier", metavar="KIND=VALUE", type=_identifier)
@click.argument("known_by", metavar="ID|GUID|EMAIL")
@json_option
def link_lead(*, identifier: IdentifierKey, known_by: str, as_json: bool) -> None:
    """Say that an identifier means this lead: `leads link email=ann@example.com 8a41...`.

    If it meant another lead, the two become one; but if HubSpot knows these by different guids or contact
    ids, only the identifier moves. Events that contradicted what was known are tried again.
    """
    with opened(Settings.read()) as store:
        with store.read() as connection:
            id = found_lead(connection, MAIN_ACCOUNT, known_by)
        linked = link(store, MAIN_ACCOUNT, now, identifier, id)
    if as_json:
        print_json({"lead": id, "how": linked.how, "retried": linked.retried})
        return
    click.echo(f"{_HOW[linked.how]}{_retried(linked.retried)}")


@leads.command(name="unlink")
@click.argument("identifier", metavar="KIND=VALUE", type=_identifier)
@json_option
def unlink_lead(*, identifier: IdentifierKey, as_json: bool) -> None:
    """Forget which lead an identifier means: `leads unlink stripe_customer=cus_1`.

    The next event that carries it says so again. Events that contradicted what was known are tried again.
    """
    with opened(Settings.read()) as store:
        retried = unlink(store, MAIN_ACCOUNT, now, identifier)
    if retried is None:
        raise click.BadParameter(f"no lead is known by {'='.join(identifier)}")
    if as_json:
        print_json({"unlinked": "=".join(identifier), "retried": retried})
        return
    click.echo(f"Forgotten.{_retried(retried)}")


_HOW = {
    "added": "Linked.",
    "already": "It was linked already.",
    "merged": "Linked: the lead that it meant before is one with this now.",
    "moved": "Linked: only the identifier moved, as HubSpot knows the two leads by different ids.",
}


def _retried(events: int) -> str:
    return f" {counted(events, 'event')} tried again." if events else ""
