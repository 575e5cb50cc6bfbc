"""Doctor: what would keep this deployment from working, each finding with its cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from integration.config.folders import shipped_mappings
from integration.config.sources import Configuration, Source, load_configuration
from integration.core.clock import Clock
from integration.core.errors import LeadwireError
from integration.core.settings import Settings
from integration.hubspot.probe import probe, switched_off
from integration.operate.account_check import portal_problems
from integration.pipeline.shared_token import token_of
from integration.store.engine import Store
from integration.store.schema import is_newer, require_current, said_of, version_of

Grade = Literal["good", "warning", "problem"]

MOST_CLOCK_SECONDS = 5.0
_PASSING_FILESYSTEMS = frozenset({"overlay", "tmpfs", "ramfs", "aufs"})
# Platforms whose disks do not survive a restart unless a volume is mounted, by a variable that they set.
_PLATFORMS: Mapping[str, str] = {
    "DYNO": "Heroku",
    "RENDER": "Render",
    "K_SERVICE": "Cloud Run",
    "RAILWAY_ENVIRONMENT": "Railway",
    "FLY_APP_NAME": "Fly.io",
    "VCAP_APPLICATION": "Cloud Foundry",
}
# https://devcenter.heroku.com/articles/read-only-filesystem (2026-11-23): a file need not be there any more
# at the next request, and PostgreSQL is to be used in place of SQLite. So whatever the type of its disk.
_WITHOUT_VOLUMES = frozenset({"Heroku"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: its name, how it is, in words, and what to do if it is not good."""

    subject: str
    grade: Grade
    text: str
    cure: str = ""


def examine(
    settings: Settings, account: str, environ: Mapping[str, str], clock: Clock, mounts: Callable[[], str]
) -> Iterator[Finding]:
    """All findings, in the order in which one would fix them. `mounts` gives the text of /proc/mounts."""
    store = Store(settings.database_url)
    try:
        reachable = _store(store)
        yield reachable
        yield from _disk(settings, environ, mounts)
        configuration = load_configuration(settings.mappings_dir, environ, shipped_mappings())
        yield from _mappings(configuration)
        yield from _hubspot(settings, store, account, clock, store_is_good=reachable.grade != "problem")
        yield from _address(settings, configuration)
    finally:
        store.dispose()


def _store(store: Store) -> Finding:
    try:
        require_current(store)
        with store.read() as connection:
            version = version_of(connection)
    except LeadwireError as error:
        cure = "run `leadwire db upgrade` once DATABASE_URL is right"
        return Finding("store", "problem", str(error), cure)
    if is_newer(version):
        cure = "nothing for now: it works; deploy the newer program again when it is ready"
        return Finding("store", "warning", f"{store.shown_as} answers; {said_of(version)}", cure)
    return Finding("store", "good", f"{store.shown_as} answers, and its schema is up to date")


def _disk(settings: Settings, environ: Mapping[str, str], mounts: Callable[[], str]) -> Iterator[Finding]:
    prefix = "sqlite:///"
    if not settings.database_url.startswith(prefix):
        return
    path = Path(settings.database_url.removeprefix(prefix)).absolute()
    point, kind = _mount_of(path, mounts())
    platform = next((name for key, name in _PLATFORMS.items() if environ.get(key)), None)
    cure = "set DATABASE_URL to a PostgreSQL database, or mount a volume and put the file there"
    if platform in _WITHOUT_VOLUMES:
        cure = "set DATABASE_URL to a PostgreSQL database"
    if kind in _PASSING_FILESYSTEMS:
        where = f"a passing file system ({kind})" + (f" on {platform}" if platform else "")
    elif platform and (point == "/" or platform in _WITHOUT_VOLUMES):
        where = f"the disk of {platform} itself, which is made again"
    else:
        yield Finding("disk", "good", f"the database file is on {kind or 'a disk'}, which survives a restart")
        return
    text = f"the database file is on {where}: it is gone after a restart, and accepted events with it"
    yield Finding("disk", "problem" if platform else "warning", text, cure)


def _mount_of(path: Path, mounts: str) -> tuple[str, str]:
    """Where the file system that holds this path is mounted, and its type: the longest mount point above it,
    and of several mounts there the last.
    """
    found = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    above = [(len(point), index, point, kind) for index, (point, kind) in enumerate(found)
             if path.is_relative_to(point)]  # fmt: skip
    _, _, point, kind = max(above, default=(0, 0, "", ""))
    return point, kind


def _mappings(configuration: Configuration) -> Iterator[Finding]:
    problems = [*configuration.problems, *portal_problems(configuration)]
    if problems:
        text = f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
        yield Finding("mappings", "problem", text, "run `leadwire check` for all of them")
    ready = [
        source.name
        for source in configuration.sources.values()
        if isinstance(source, Source) and not source.missing_secrets
    ]
    if not ready:
        cure = "set the secret that the sender shows; `leadwire sources` says under which name"
        yield Finding("sources", "problem", "no source can receive: none has its secret", cure)
    elif not problems:
        yield Finding(
            "mappings", "good", f"no problems; {len(ready)} can receive: {', '.join(sorted(ready))}"
        )


def _hubspot(
    settings: Settings, store: Store, account: str, clock: Clock, *, store_is_good: bool
) -> Iterator[Finding]:
    if switched_off(settings):
        text = (
            "the Leads API v1 no longer answers at HubSpot's own host: it was switched off at the end of 2013"
        )
        yield Finding("HubSpot", "problem", text, "set HUBSPOT_API=contacts; see docs/hubspot.md")
        return
    if settings.hubspot_refresh_token and not store_is_good:
        return  # the token is kept in the store
    found = probe(settings, token_of(settings, store, account, clock), clock)
    if found.cause is not None:
        yield Finding("HubSpot", "problem", found.cause.detail, found.cause.cure)
    else:
        yield Finding("HubSpot", "good", f"{settings.hubspot_api} answers, and the token is taken")
    if found.clock_ahead is not None:
        yield _clock(found.clock_ahead)


def _clock(ahead: float) -> Finding:
    if abs(ahead) <= MOST_CLOCK_SECONDS:
        return Finding("clock", "good", "it agrees with HubSpot's")
    way = "ahead of" if ahead > 0 else "behind"
    text = f"it is {abs(ahead):.0f} s {way} HubSpot's: signatures may be refused as stale, and leases break"
    return Finding("clock", "problem", text, "let the machine keep its time by NTP")


def _address(settings: Settings, configuration: Configuration) -> Iterator[Finding]:
    signing = sorted(
        source.name
        for source in configuration.sources.values()
        if isinstance(source, Source) and not source.missing_secrets and source.scheme.signs_url
    )
    if signing and not settings.public_url:
        text = f"{', '.join(signing)}: the URL is signed, and PUBLIC_URL is not set"
        yield Finding("PUBLIC_URL", "warning", text, "set it to the address that senders were given")
