"""The contract with the HubSpot account: what its contacts have, and which mappings do not fit that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from integration.config.sources import Configuration, Source, Sources
from integration.core.clock import Clock
from integration.core.errors import LeadwireError, Problem
from integration.core.logs import log_action
from integration.core.settings import Settings
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.http.oauth import Token
from integration.hubspot.account import read_properties
from integration.hubspot.caller import Caller
from integration.lead.catalogue import PortalProperty
from integration.lead.fields_file import load_catalogue
from integration.lead.misfits import misfit, shared_property
from integration.lead.properties import table_of
from integration.mapping import FieldSetter
from integration.store import budget
from integration.store.engine import Store

log = logging.getLogger(__name__)

RECHECK_SECONDS = 24 * 3600.0
RETRY_SECONDS = 3600.0
REQUEST_SECONDS = 60.0  # the longest that one takes
_COMMENT = "# What the HubSpot account has. `leadwire fields pull` writes this part again; the rest is yours."


def portal_problems(
    configuration: Configuration, portal: Mapping[str, PortalProperty] | None = None
) -> Iterator[Problem]:
    """Fields of mappings that HubSpot would refuse, by what is known of the account; none if nothing is."""
    catalogue = configuration.catalogue
    known = catalogue.portal if portal is None else portal
    if not known:
        return
    table = table_of(catalogue)
    first_with: dict[str, str] = {}  # by property
    for setter in _setters(configuration):
        name = table.property_of(setter.field)
        first = first_with.setdefault(name, setter.field) if name is not None else setter.field
        found = misfit(setter.field, setter.constants, table, known)
        if found is None and name is not None and first != setter.field:
            found = shared_property(setter.field, first, name)
        if found is not None:
            yield Problem(setter.part.place, setter.part.name, found.message, found.cure)


def _setters(configuration: Configuration) -> Iterator[FieldSetter]:
    for source in configuration.sources.values():
        for rule in source.mapping.rules if isinstance(source, Source) else ():
            yield from rule.sets


def pull(settings: Settings, token: Token) -> dict[str, PortalProperty]:
    """What the account has now. Raises AccountError or TokenUnavailableError."""
    return read_properties(Caller(settings.hubspot_base_url), token, settings.hubspot_api_version)


def write_portal(file: Path, portal: Mapping[str, PortalProperty]) -> None:
    """Put what the account has into `mappings/fields.yaml`; all else in it stays as it is, to the letter.

    Raises CatalogueError if the file has problems, and leaves it alone.
    """
    load_catalogue(file, str(file))
    text = file.read_text(encoding="utf-8") if file.exists() else "version: 1\nfields: {}\n"
    before, after = _around_portal(text, file)
    content = "".join([*_without_end(before), f"\n{_COMMENT}\n", _portal_text(portal), *after])
    file.write_text(content, encoding="utf-8")


def _around_portal(text: str, file: Path) -> tuple[list[str], list[str]]:
    """The lines before and after what `portal:` holds. Comments and blank lines below it are not its own."""
    document = YAML().load(text)
    if document.fa.flow_style():
        raise LeadwireError(f"{file}: write its keys on lines of their own, without braces around all of it")
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if "portal" not in document:
        return lines, []
    start = document.lc.key("portal")[0]
    below = [line for line, _ in map(document.lc.key, document) if line > start]
    end = min(below, default=len(lines))
    while end > start + 1 and _is_between(lines[end - 1]):
        end -= 1
    return lines[:start], lines[end:]


def _is_between(line: str) -> bool:
    return not line.strip() or line.startswith("#")


def _without_end(lines: list[str]) -> list[str]:
    """The lines without our own comment, and without the blank lines at their end."""
    kept = [line for line in lines if line.strip() != _COMMENT]
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _portal_text(portal: Mapping[str, PortalProperty]) -> str:
    yaml = YAML()
    yaml.width = 110
    stream = StringIO()
    yaml.dump(
        CommentedMap({"portal": {name: _as_yaml(item) for name, item in sorted(portal.items())}}), stream
    )
    return stream.getvalue()


def _as_yaml(item: PortalProperty) -> CommentedMap:
    content: dict[str, Any] = {"type": item.type}
    if item.options:
        content["options"] = list(item.options)
    if item.read_only:
        content["read_only"] = True
    if item.external_options:
        content["external_options"] = True
    entry = CommentedMap(content)
    entry.fa.set_flow_style()
    return entry


class PortalWatch:
    """Looks at the account once a day, and warns of mappings that no longer fit before their events fail."""

    def __init__(
        self, store: Store, account: str, settings: Settings, sources: Sources, token: Token, *, clock: Clock
    ) -> None:
        self._store = store
        self._account = account
        self._settings = settings
        self._sources = sources
        self._token = token
        self._clock = clock
        self._next_at: Micros = 0

    def step(self) -> int:
        """Look if it is time; returns how many problems were warned of."""
        if self._settings.hubspot_api != "contacts" or self._clock() < self._next_at:
            return 0
        if not self._take_slot():
            return 0
        self._next_at = self._clock() + int(RECHECK_SECONDS * MICROS_PER_SECOND)
        try:
            portal = pull(self._settings, self._token)
        except LeadwireError as error:
            self._next_at = self._clock() + int(RETRY_SECONDS * MICROS_PER_SECOND)
            log_action(log, "portal.unknown", f"Cannot see HubSpot's properties: {error}", logging.WARNING)
            return 0
        problems = list(portal_problems(self._sources.current, portal))
        for problem in problems:
            log_action(log, "portal.misfit", str(problem), logging.WARNING)
        return len(problems)

    def _take_slot(self) -> bool:
        """A slot of the budget for the one request, as everybody takes one; False if none is free now."""
        with self._store.write() as connection:
            now = self._clock()
            slots = budget.free_slots(connection, self._account, budget.REQUESTS, now, 1)
            seconds = REQUEST_SECONDS + self._settings.hubspot_rate_limit.seconds
            budget.occupy(
                connection, self._account, dict.fromkeys(slots, now + int(seconds * MICROS_PER_SECOND))
            )
            return bool(slots)
