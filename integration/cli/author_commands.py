"""Commands for those who write mapping files: try, test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from integration.authoring.rehearse import (
    Difference,
    MaybeSent,
    NotSent,
    Rehearsal,
    RehearsedEvent,
    RehearsedLead,
    TestResult,
    rehearse,
    run_test,
)
from integration.body import MalformedBody
from integration.cli.output import console, json_option, plain, print_json
from integration.cli.payloads import (
    BrokenMappingError,
    PayloadFileError,
    answer_from_file,
    header_option,
    read_configuration,
    request_from_file,
    usable_source,
)
from integration.cli.render import print_table
from integration.cli.stored import opened
from integration.config.sources import Configuration, Source
from integration.core.clock import now
from integration.core.errors import LeadwireError
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, Cause, FetchRequest, Ignored
from integration.core.words import counted, exact_time, shown_time, shown_value
from integration.http.client import Client
from integration.http.oauth import OAuth
from integration.pipeline.fetch import Access, Got, fetch_request
from integration.pipeline.shared_token import SharedToken, SourceTokens
from integration.store.inbox import Fetched
from integration.store.views.columns import Column, Fit, View
from integration.store.views.event_views import CHANGES, cause_as_json


class FetchFailedError(LeadwireError):
    """The source's API gave no answer that can be used."""


@click.command(name="try")
@click.argument("source")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@header_option
@click.option("--query", default="", help="The query string of the URL that the source calls.")
@click.option(
    "--fetched",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with what the mapping's `fetch:` gets.",
)
@click.option(
    "--fetch", is_flag=True, help="Really get it from the source's API, with the settings as they are."
)
@click.option("--verbose", is_flag=True, help="Show every step of the translation.")
@json_option
@click.pass_context
def try_(
    context: click.Context,
    *,
    source: str,
    file: Path,
    headers: tuple[tuple[str, str], ...],
    query: str,
    fetched: Path | None,
    fetch: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Show the updates that the payload in FILE would make. Nothing is stored or sent.

    The signature does not matter here. Exit code 1 if an event would become a dead letter. Where the mapping
    has a `fetch:`, the address that would be called is shown, unless --fetched or --fetch gives the answer.
    """
    if fetch and fetched:
        raise click.UsageError("give either --fetch or --fetched")
    settings = Settings.read()
    configuration = read_configuration(settings)
    found = usable_source(configuration, source)
    request = request_from_file(found, file, dict(headers), f"/hooks/{found.name}?{query}")
    answer = answer_from_file(found, fetched)
    rehearsed = partial(rehearse, configuration, found, request, max_body_bytes=settings.max_body_bytes)
    try:
        rehearsal = rehearsed(fetched=answer)
        if fetch:
            answer = _fetched(found, rehearsal, settings)
            rehearsal = rehearsed(fetched=answer)
    except MalformedBody as error:
        raise PayloadFileError(f"{file}: {error.detail}") from error
    if as_json:
        print_json(_rehearsal_as_json(found, rehearsal, verbose=verbose))
    else:
        _print_rehearsal(console(), rehearsal, verbose=verbose)
    context.exit(1 if any(event.dead for event in rehearsal.events) else 0)


def _fetched(source: Source, rehearsal: Rehearsal, settings: Settings) -> Fetched | None:
    """What the source's API answers for the first event that needs it. Raises FetchFailedError."""
    meanings = (event.translation.meaning for event in rehearsal.events)
    wanted = next((meaning for meaning in meanings if isinstance(meaning, FetchRequest)), None)
    if wanted is None or source.mapping.fetch is None:
        return None
    allow_private = settings.fetch_allow_private
    with ExitStack() as stack:

        def token_of(source: Source, spec: OAuth) -> SharedToken:
            store = stack.enter_context(opened(settings))  # tokens are the workers' too, and kept there
            return SourceTokens(store, MAIN_ACCOUNT, now, allow_private=allow_private).of(source, spec)

        access = Access(token_of, Client(public_only=not allow_private), now)
        outcome = fetch_request(source, source.mapping.fetch, wanted, access)
    if isinstance(outcome, Got):
        return outcome.answer
    raise FetchFailedError(
        f"{outcome.detail}; {outcome.cure}" if isinstance(outcome, Cause) else outcome.detail
    )


def _rehearsal_as_json(source: Source, rehearsal: Rehearsal, *, verbose: bool) -> dict[str, Any]:
    return {
        "source": source.name,
        "events": [_event_as_json(event, verbose=verbose) for event in rehearsal.events],
        "leads": [
            {"identifiers": _identifiers(lead), "would_send": dict(lead.would_send)}
            for lead in rehearsal.leads
        ],
    }


def _event_as_json(event: RehearsedEvent, *, verbose: bool) -> dict[str, Any]:
    translation = event.translation
    meaning = translation.meaning
    described: dict[str, Any] = {
        "id": event.incoming.dedup_key,
        "position": event.incoming.position,
        "type": translation.type,
        "occurred_at": exact_time(translation.occurred_at),
        "identifiers": event.identifiers,
        "changes": [CHANGES.as_json(change) for change in event.changes],
        "ignored": meaning.reason if isinstance(meaning, Ignored) else None,
        "dead": cause_as_json(event.dead),
        "fetch": meaning.address if isinstance(meaning, FetchRequest) else None,
        "duplicate": event.duplicate,
    }
    if verbose:
        described["steps"] = [
            {"place": step.place, "path": step.path, "text": step.text} for step in translation.steps
        ]
    return described


def _identifiers(lead: RehearsedLead) -> dict[str, str]:
    return {known.kind: known.value for known in lead.identifiers}


def _print_rehearsal(out: Console, rehearsal: Rehearsal, *, verbose: bool) -> None:
    for event in rehearsal.events:
        _print_event(out, event, verbose=verbose)
    for lead in rehearsal.leads:
        known_by = _in_words(_identifiers(lead))
        if not lead.would_send:
            _line(out, f"HubSpot would get nothing for the lead {known_by}.", style="bold")
            continue
        _line(out, f"HubSpot would get, for the lead {known_by}:", style="bold")
        _line(out, f"  {shown_value(dict(lead.would_send))}")
    if not rehearsal.events:
        _line(out, "The payload holds no event.")
    _line(out, "Nothing was stored or sent.", style="dim")


def _print_event(out: Console, event: RehearsedEvent, *, verbose: bool) -> None:
    translation = event.translation
    _line(out, f"Event {event.incoming.dedup_key}", style="bold")
    _line(out, f"  type      {translation.type or '-'}")
    _line(out, f"  happened  {shown_time(translation.occurred_at)} UTC")
    _line(out, f"  lead      {_in_words(event.identifiers) or '-'}")
    if verbose:
        for step in translation.steps:
            _line(out, f"  {step.place}: {step.path}: {step.text}", style="dim")
    _print_outcome(out, event)


def _print_outcome(out: Console, event: RehearsedEvent) -> None:
    if event.dead:
        _line(out, f"  dead letter: {event.dead.detail}", style="red")
        _line(out, f"  cure: {event.dead.cure}")
        return
    match event.translation.meaning:
        case Ignored(reason=reason):
            _line(out, f"  ignored: {reason}", style="yellow")
        case FetchRequest(address=address):
            words = f"  fetch: GET {address} comes first; --fetched FILE gives its answer"
            _line(out, words, style="cyan")
        case _ if event.duplicate:
            _line(out, "  ignored: the same event stands above", style="yellow")
        case _:
            print_table(out, CHANGES, event.changes, indent=2)


def _in_words(identifiers: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} {value}" for kind, value in identifiers.items())


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(plain(text), style=style, soft_wrap=True)


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@json_option
@click.pass_context
def test(context: click.Context, *, sources: tuple[str, ...], as_json: bool) -> None:
    """Run the tests that stand in the mapping files.

    Those of the sources given, or of all. Each takes a recorded payload and compares what would be sent
    to HubSpot with what it expects.
    """
    settings = Settings.read()
    configuration = read_configuration(settings)
    chosen = [_source_or_problems(configuration, name) for name in sources or configuration.sources]
    broken = [found for found in chosen if not isinstance(found, Source)]
    results = [
        (source.name, _run(configuration, source, settings.max_body_bytes))
        for source in chosen
        if isinstance(source, Source)
    ]
    if as_json:
        tests = [_result_as_json(name, result) for name, group in results for result in group]
        print_json({"tests": tests, "broken": dict(broken)})
    else:
        _print_broken(console(), broken)
        _print_results(console(), results, broken=len(broken))
    failed = any(result.failure for _, group in results for result in group)
    context.exit(1 if failed or broken else 0)


def _source_or_problems(configuration: Configuration, name: str) -> Source | tuple[str, list[str]]:
    """The source; or its name and what is wrong with its mapping file, which costs the others nothing."""
    try:
        return usable_source(configuration, name)
    except BrokenMappingError as error:
        return name, str(error).splitlines()


def _print_broken(out: Console, broken: Iterable[tuple[str, list[str]]]) -> None:
    for name, problems in broken:
        _line(out, f"FAIL  {name}: the mapping file has problems", style="bold red")
        for problem in problems:
            _line(out, f"      {problem}")


def _run(configuration: Configuration, source: Source, max_body_bytes: int) -> list[TestResult]:
    results = []
    for case in source.mapping.tests:
        url = f"/hooks/{source.name}?{case.query}"
        headers = {name.lower(): value for name, value in case.headers.items()}
        try:
            request = request_from_file(source, case.given, headers, url)
            answer = answer_from_file(source, case.fetched)
        except PayloadFileError as error:
            results.append(TestResult(case, str(error)))
            continue
        request = replace(request, query=case.query)
        result = run_test(configuration, source, case, request, max_body_bytes=max_body_bytes, fetched=answer)
        results.append(result)
    return results


def _print_results(out: Console, results: Iterable[tuple[str, list[TestResult]]], *, broken: int) -> None:
    total = failed = 0
    for source, group in results:
        if not group:
            _line(out, f"-     {source}: no tests", style="dim")
        for result in group:
            _print_result(out, source, result)
            total, failed = total + 1, failed + bool(result.failure)
    outcome = f"{failed} failed" if failed else "all passed"
    unusable = f" {counted(broken, 'mapping file')} cannot be used." if broken else ""
    _line(out, f"{counted(total, 'test')}, {outcome}.{unusable}")


def _print_result(out: Console, source: str, result: TestResult) -> None:
    if result.failure is None:
        _line(out, f"ok    {source}: {result.test.name}")
        return
    _line(out, f"FAIL  {source}: {result.test.name}", style="bold red")
    _line(out, f"      {result.test.place}: {result.failure}")
    if result.differences:
        print_table(out, _DIFFERENCES, result.differences, indent=6)


_DIFFERENCES: View[Difference] = View(
    "differences",
    (
        Column("", "field", lambda found: found.field, fit=Fit.ROW),
        Column("", "expected", lambda found: _shown(found.expected)),
        Column("", "got", lambda found: _shown(found.actual)),
        Column("", "mapping", lambda found: found.place or "no rule sets it"),
    ),
)


def _shown(value: MaybeSent) -> str:
    return "not sent" if isinstance(value, NotSent) else shown_value(value)


def _result_as_json(source: str, result: TestResult) -> dict[str, Any]:
    return {
        "source": source,
        "name": result.test.name,
        "place": result.test.place,
        "passed": result.failure is None,
        "failure": result.failure,
        "differences": [
            {
                "field": found.field,
                **({} if isinstance(found.expected, NotSent) else {"expected": found.expected}),
                **({} if isinstance(found.actual, NotSent) else {"got": found.actual}),
                "place": found.place,
            }
            for found in result.differences
        ],
    }
