"""`leadwire replay`: stored events by the mappings as they are now; only what differs is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from integration.cli.filters import time_options
from integration.cli.output import console, json_option, plain, print_json
from integration.cli.payloads import usable_source
from integration.cli.progress import progress
from integration.cli.render import print_table
from integration.cli.stored import opened
from integration.config.folders import shipped_mappings
from integration.config.sources import Configuration, Source, Sources
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, Micros
from integration.core.words import counted, listed, name_of, told_value
from integration.lead.planned import PlannedField
from integration.pipeline.replay import (
    ChangedLead,
    Counts,
    Plan,
    Replay,
    Where,
    compile_where,
)
from integration.pipeline.verification import Verifier, published
from integration.store.history import Selection
from integration.store.views.columns import Column, Fit, View
from integration.store.views.lead_views import at_hubspot_as_json, told_at_hubspot
from integration.supervise import on_termination

ROWS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line asks for."""

    selection: Selection
    where: Where | None
    dry_run: bool
    as_json: bool


@click.command()
@click.option("--source", metavar="NAME", help="Only events of this source.")
@time_options
@click.option("--type", "type_", metavar="TYPE", help="Only events of this type.")
@click.option(
    "--where", "condition", metavar="JMESPATH",
    help="Only events whose payload meets this: \"data.object.currency == 'eur'\".",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True, help="Show what would change, lead by lead. Stores and sends nothing."
)
@click.option(
    "--rejected", is_flag=True,
    help="Instead: verify rejected requests again, with the secrets as they are now, as of their arrival.",
)  # fmt: skip
@click.option(
    "--fetch-anew", is_flag=True,
    help="Forget what was fetched for the events, so that the workers fetch it again.",
)  # fmt: skip
@json_option
@click.pass_context
def replay(
    context: click.Context,
    *,
    source: str | None,
    since: Micros | None,
    until: Micros | None,
    type_: str | None,
    condition: str | None,
    dry_run: bool,
    rejected: bool,
    fetch_anew: bool,
    as_json: bool,
) -> None:
    """Translate stored events by the mappings as they are now; send what differs.

    Safe beside live traffic, which goes first, and safe to interrupt: run it again to go on. A field that the
    mapping no longer sets stays as it is at HubSpot. Dead letters come to life where the mapping is fixed.
    """
    if rejected and (type_ or condition):
        raise click.UsageError("a rejected request has no type or payload yet: leave --type and --where out")
    if rejected and fetch_anew:
        raise click.UsageError("nothing was fetched for a rejected request: leave --fetch-anew out")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until")
    where = compile_where(condition) if condition is not None else None
    wish = _Wish(Selection(source, type_, since, until), where, dry_run, as_json)
    settings = Settings.read()
    sources = Sources(settings.mappings_dir, shipped=shipped_mappings())
    if source is not None:
        usable_source(sources.current, source)
    with opened(settings) as store:
        verifier = Verifier(published(store, MAIN_ACCOUNT, allow_private=settings.fetch_allow_private))
        engine = Replay(
            store,
            MAIN_ACCOUNT,
            sources,
            now,
            verifier,
            max_body_bytes=settings.max_body_bytes,
            fetch_anew=fetch_anew,
        )
        with on_termination(engine.stop):
            perform = _accept_rejected if rejected else _plan if dry_run else _run
            perform(engine, wish)
    if not as_json and source is None:
        _tell_of_broken(sources.current)
    if engine.stopped:
        click.echo("Interrupted. What is done stays done; run the same command again to go on.", err=True)
        context.exit(1)


def _run(engine: Replay, wish: _Wish) -> None:
    with _watched("Replaying", engine.count(wish.selection)) as report:
        counts = engine.run(wish.selection, wish.where, report)
    if wish.as_json:
        print_json(_counts_as_json(counts, engine, dry_run=False))
        return
    click.echo(_looked_at(counts, wish))
    click.echo(
        f"{_asks(counts.changed)} something else now; {counted(counts.leads, 'lead')} rebuilt. "
        "What differs from HubSpot is sent by the workers, after live changes."
    )


def _plan(engine: Replay, wish: _Wish) -> None:
    with _watched("Planning", engine.count(wish.selection)) as report:
        plan = engine.plan(wish.selection, wish.where, report)
    if wish.as_json:
        leads = [_lead_as_json(lead) for lead in plan.leads]
        print_json({**_counts_as_json(plan.counts, engine, dry_run=True), "changes": leads})
        return
    _print_plan(console(), plan)
    click.echo(_looked_at(plan.counts, wish))
    click.echo(
        f"{_asks(plan.counts.changed)} something else now; the next request would change for "
        f"{counted(plan.counts.leads, 'lead')}. Nothing was stored or sent."
    )


def _accept_rejected(engine: Replay, wish: _Wish) -> None:
    with _watched("Verifying", engine.count_rejected(wish.selection)) as report:
        counts = engine.accept_rejected(wish.selection, report, dry_run=wish.dry_run)
    if wish.as_json:
        print_json(
            {
                "dry_run": wish.dry_run,
                "requests": counts.events,
                "accepted": counts.changed,
                "interrupted": engine.stopped,
            }
        )
        return
    accepted = "would be accepted. Nothing was stored" if wish.dry_run else "accepted after all"
    click.echo(f"Verified {counted(counts.events, 'rejected request')} again: {counts.changed} {accepted}.")


@contextmanager
def _watched(what: str, total: int) -> Iterator[Callable[[Counts], None]]:
    with progress(what, total) as report:
        yield lambda counts: report(counts.events, f"{counts.changed:,} differ")


def _asks(events: int) -> str:
    return f"{counted(events, 'event')} {'asks' if events == 1 else 'ask'} for"


def _looked_at(counts: Counts, wish: _Wish) -> str:
    looked_at = f"Looked at {counted(counts.events, 'event')}"
    if counts.matched == counts.events:
        return f"{looked_at}."
    why = "by --where, or for want of a usable mapping" if wish.where else "for want of a usable mapping"
    return f"{looked_at}; {counts.events - counts.matched} left alone {why}."


def _tell_of_broken(configuration: Configuration) -> None:
    broken = [name for name, source in configuration.sources.items() if not isinstance(source, Source)]
    if broken:
        click.echo(f"Left alone: what came from {listed(broken)}; `leadwire check` says why.", err=True)


def _counts_as_json(counts: Counts, engine: Replay, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "events": counts.events,
        "matched": counts.matched,
        "changed": counts.changed,
        "leads": counts.leads,
        "interrupted": engine.stopped,
    }


def _lead_as_json(lead: ChangedLead) -> dict[str, Any]:
    return {
        "lead": lead.id,
        "identifiers": lead.identifiers,
        "fields": [_field_as_json(field) for field in lead.fields],
    }


def _field_as_json(field: PlannedField) -> dict[str, Any]:
    return {
        "field": field.name,
        **at_hubspot_as_json(field.after.sent),
        "would_send": field.would_send,
        **({"would_be": field.after.value} if field.would_send else {}),
        "event": field.cause.event_id or None,
        "place": field.cause.place or None,
    }


_PLAN: View[tuple[ChangedLead, PlannedField]] = View(
    "changes",
    (
        Column("", "lead", lambda row: _called(row[0]), fit=Fit.ROW),
        Column("", "field", lambda row: row[1].name, fit=Fit.ROW),
        Column("", "HubSpot has", lambda row: told_at_hubspot(row[1].after.sent)),
        Column(
            "", "would be",
            lambda row: told_value(row[1].after.value) if row[1].would_send else "no longer sent",
        ),
        Column("", "event", lambda row: row[1].cause.event_id or None),
        Column("", "mapping", lambda row: row[1].cause.place or None),
    ),
)  # fmt: skip


def _called(lead: ChangedLead) -> str:
    known = name_of(lead.identifiers)
    return known if lead.id else f"{known} (new)"


def _print_plan(out: Console, plan: Plan) -> None:
    rows = [(lead, field) for lead in plan.leads for field in lead.fields]
    if rows:
        print_table(out, _PLAN, rows[:ROWS_SHOWN])
    if len(rows) > ROWS_SHOWN:
        out.print(plain(f"And {len(rows) - ROWS_SHOWN} more: --json shows all."), style="dim")
