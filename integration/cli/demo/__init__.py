"""`leadwire demo`: a payment closes a lead, with real processes and real HTTP, on this machine."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from integration.cli.demo.machinery import DemoError, demo_environment, free_ports, running_system
from integration.cli.demo.performance import Performed, Performer
from integration.cli.demo.story import LEADS, story
from integration.cli.output import console, json_option, plain, print_json
from integration.cli.payloads import read_configuration, usable_source
from integration.config.folders import folder_of
from integration.config.sources import Configuration
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MICROS_PER_SECOND, Secret
from integration.core.words import listed, shown_value
from integration.mapping import SourceMapping

_HOUR = 3600
_WIDTH = 110


@click.command()
@json_option
@click.pass_context
def demo(context: click.Context, *, as_json: bool) -> None:
    """See it work: events come in, HubSpot lead updates go out.

    Starts a stand-in HubSpot, web and worker with a temporary database, sends signed events through real
    HTTP, and checks what arrived. Exit code 1 if anything is missing.
    """
    started = time.monotonic()
    out = console(_WIDTH)
    with tempfile.TemporaryDirectory(prefix="leadwire-demo-") as directory:
        performed = _perform(Path(directory), out, quiet=as_json)
    missing = [step for step in performed if step.failures]
    if as_json:
        print_json({"ok": not missing, "steps": [_as_json(step) for step in performed]})
    else:
        _print(out, performed)
        _print_end(out, len(performed), missing, time.monotonic() - started)
    context.exit(1 if missing else 0)


def _perform(directory: Path, out: Console, *, quiet: bool) -> list[Performed]:
    environment = demo_environment(directory, *free_ports(2))
    settings = Settings.read(environment)
    configuration = read_configuration(settings, environment)
    steps = story(now() // MICROS_PER_SECOND - _HOUR)
    names = sorted({delivery.source for step in steps for delivery in step.deliveries})
    _require(configuration, names, settings.mappings_dir)
    live = {name: _new_secret(usable_source(configuration, name).mapping) for name in names}
    environment |= {secret.name: secret.value for secret in live.values()}
    with _telling(out, quiet=quiet) as tell:
        tell("Starting a stand-in HubSpot, web and worker ...")
        with running_system(directory, environment) as system:
            performer = Performer(system, configuration, settings, live)
            performer.seed(LEADS)
            performed = []
            for number, step in enumerate(steps, 1):
                tell(f"{number}/{len(steps)} {step.shows} ...")
                performed.append(performer.perform(step))
            return performed


def _require(configuration: Configuration, names: Sequence[str], mappings_dir: Path) -> None:
    missing = [name for name in names if name not in configuration.sources]
    if missing:
        raise DemoError(
            f"the demo needs the sources {listed(names)}, and {mappings_dir} has no {listed(missing)}: "
            "run it in the project's folder, or set MAPPINGS_DIR"
        )


def _new_secret(mapping: SourceMapping) -> Secret:
    """A secret in the form that the source's scheme wants, for the first setting that the mapping names."""
    scheme, token = mapping.verify.options["scheme"], secrets.token_hex(16)
    value = {"stripe": f"whsec_{token}", "basic": f"demo:{token}"}.get(scheme, token)
    return Secret(mapping.verify.secrets[0], value)


@contextmanager
def _telling(out: Console, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """How progress is told: in place on a terminal, a line each elsewhere, not at all with --json."""
    if quiet:
        yield lambda _: None
    elif out.is_terminal:
        with out.status("") as status:
            yield status.update
    else:
        yield click.echo


def _print(out: Console, performed: Sequence[Performed]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("", "what was sent", "answer", "what arrived at HubSpot"):
        table.add_column(heading, overflow="fold")
    for number, item in enumerate(performed, 1):
        mark = Text("no", style="bold red") if item.failures else Text("ok", style="green")
        table.add_row(mark, _sent(number, item), _answers(item), _arrivals(item), end_section=True)
    out.print(table)


def _sent(number: int, item: Performed) -> Text:
    text = Text(f"{number}. {item.step.shows}", style="bold")
    for delivery, type in zip(item.step.deliveries, item.types, strict=True):
        text.append(f"\n   {delivery.source}: {type}", style="not bold")
    return text


def _answers(item: Performed) -> Text:
    return Text("\n".join(f"{answer.status} {answer.word}" for answer in item.answers))


def _arrivals(item: Performed) -> Text:
    text = Text()
    for arrived in item.arrived:
        text.append(f"PUT lead {arrived.guid}\n", style="cyan")
        fields = (f"  {name} = {shown_value(value)}" for name, value in arrived.fields.items())
        text.append("\n".join(fields))
    if not item.arrived:
        text.append("nothing", style="dim")
        text.append(f": {item.why}" if item.why else "")
    for failure in item.failures:
        text.append(f"\nMISSING: {failure}", style="bold red")
    return text


def _print_end(out: Console, steps: int, missing: Sequence[Performed], seconds: float) -> None:
    if missing:
        out.print(plain(f"{len(missing)} of {steps} steps are not as they must be."), style="bold red")
        return
    out.print(plain(f"{steps} steps, all as they must be, in {seconds:.0f} s."), style="bold green")
    example = folder_of("stripe", Settings.read().mappings_dir) / "examples/invoice.paid.json"
    out.print(plain(f"Next: leadwire try stripe {example}"), soft_wrap=True)


def _as_json(item: Performed) -> dict[str, Any]:
    return {
        "shows": item.step.shows,
        "sent": [
            {
                "source": delivery.source,
                "type": type,
                "answer": answer.status,
                "word": answer.word,
                "id": answer.id,
            }
            for delivery, type, answer in zip(item.step.deliveries, item.types, item.answers, strict=True)
        ],
        "arrived": [
            {"guid": arrived.guid, "fields": dict(arrived.fields), "status": arrived.status}
            for arrived in item.arrived
        ],
        "why": item.why,
        "failures": list(item.failures),
    }
