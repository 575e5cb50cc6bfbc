"""`leadwire demo`: a payment closes a lead, with real processes and real HTTP, on this machine."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from integration.cli.demo.machinery import demo_environment, free_ports, running_system
from integration.cli.demo.performance import Performed, Performer
from integration.cli.demo.story import LEADS, story
from integration.cli.output import console, json_option, new_table, plain, print_json, shown_value
from integration.cli.payloads import read_configuration_of, usable_source
from integration.clock import now
from integration.records import MICROS_PER_SECOND, Secret
from integration.settings import Settings

_HOUR = 3600


@click.command()
@json_option
@click.pass_context
def demo(context: click.Context, *, as_json: bool) -> None:
    """See it work: recorded events come in, HubSpot lead updates go out, all on this machine.

    Starts a stand-in HubSpot, web and worker with a temporary database, sends signed events through real
    HTTP, and checks what arrived. Exit code 1 if anything is missing.
    """
    started = time.monotonic()
    out = console()
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
    configuration = read_configuration_of(settings, environment)
    steps = story(now() // MICROS_PER_SECOND - _HOUR)
    names = {delivery.source for step in steps for delivery in step.deliveries}
    live = {name: _new_secret(usable_source(configuration, name).mapping) for name in sorted(names)}
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


def _new_secret(mapping: Any) -> Secret:
    """A secret in the form that the source's scheme wants, for the first setting that the mapping names."""
    scheme, token = mapping.verify.options["scheme"], secrets.token_hex(16)
    value = {"stripe": f"whsec_{token}", "basic": f"demo:{token}"}.get(scheme, token)
    return Secret(mapping.verify.secrets[0], value)
