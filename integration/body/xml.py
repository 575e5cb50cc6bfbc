"""XML (and SOAP, which is XML) as objects, by one mapping that never depends on a schema.

The root element is the only key of the payload. Names are local names, without namespaces. An element that
has only text is that text; any other is an object with its attributes as `@name`, its elements by name,
and its text, if it has some beside white space, as `#text`. An element that is repeated is a list; one
that comes once is not: `[path][]` in a mapping is a list in both cases. An element without content that says
it is nil is null, whatever other attributes it has. Everything else is text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from integration.body.refusal import refuse

# XML Schema's attribute, as SOAP has it, and the one that Rails writes (Braintree, Recurly):
# https://www.w3.org/TR/xmlschema-1/#xsi_nil and https://api.rubyonrails.org/classes/Hash.html#method-i-to_xml,
# 2026-11-23
_NIL = ("{http://www.w3.org/2001/XMLSchema-instance}nil", "nil")
_TRUE = frozenset({"true", "1"})


def parse_xml(text: str, max_depth: int) -> dict[str, Any]:
    """The payload of an XML text. Document types, entities and deeper nesting are refused (MalformedBody)."""
    parser = DefusedXMLParser(target=_Target(max_depth), forbid_dtd=True)
    try:
        parser.feed(text)
        payload = cast("dict[str, Any]", parser.close())
    except DefusedXmlException:
        refuse("The body is XML with a document type (DOCTYPE) or entities, which are never read.")
    except ParseError as error:
        line, column = error.position
        refuse(f"The body is not XML: {str(error).partition(':')[0]} at line {line} column {column + 1}.")
    return payload


@dataclass(slots=True)
class _Element:
    name: str
    members: dict[str, Any]
    is_nil: bool = False
    texts: list[str] = field(default_factory=list)

    def value(self) -> Any:
        text = "".join(self.texts)
        if self.is_nil and not text.strip():
            return None
        if not self.members:
            return text
        return {**self.members, "#text": text} if text.strip() else self.members


class _Target:
    """Builds objects while expat reads, so that a limit stops the reading."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._open = [_Element("", {})]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > self._max_depth:
            refuse(f"The body is nested deeper than {self._max_depth} levels.")
        members = {f"@{_local(key)}": text for key, text in attributes.items()}
        self._open[-1].is_nil = False  # it has content after all
        self._open.append(_Element(_local(name), members, _says_nil(attributes)))

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def end(self, _: str) -> None:
        element = self._open.pop()
        members, value = self._open[-1].members, element.value()
        if element.name not in members:
            members[element.name] = value
        elif isinstance(members[element.name], list):
            members[element.name].append(value)
        else:
            members[element.name] = [members[element.name], value]

    def close(self) -> dict[str, Any]:
        return self._open[0].members


def _says_nil(attributes: dict[str, str]) -> bool:
    return any(attributes.get(name, "").strip() in _TRUE for name in _NIL)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
