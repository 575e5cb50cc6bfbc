"""XML as objects, and what of XML is never read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.body import MAX_DEPTH, MalformedBody, decode

LIMIT = 1 << 20
XML = {"content-type": "text/xml; charset=utf-8"}
XSI = "xmlns:i='http://www.w3.org/2001/XMLSchema-instance'"
SALESFORCE = Path(__file__).parents[1] / "data" / "bodies" / "salesforce_opportunity.xml"


def read(text: str | bytes) -> Any:
    return decode(XML, text.encode() if isinstance(text, str) else text, LIMIT)


def refusal(text: str | bytes) -> str:
    with pytest.raises(MalformedBody) as caught:
        read(text)
    assert (caught.value.status, caught.value.code) == (400, "malformed_body")
    return caught.value.detail


@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "application/soap+xml", "Application/XML"])
def test_content_types(kind: str) -> None:
    assert decode({"content-type": kind}, b"<a>1</a>", LIMIT) == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a/>", ""),
        ("<a> x </a>", " x "),
        ("<a><b>1</b></a>", {"b": "1"}),
        ("<a>\n <b>1</b>\n <b/>\n <b>3</b>\n</a>", {"b": ["1", "", "3"]}),
        ("<a k='v'/>", {"@k": "v"}),
        ("<a k='v'>t</a>", {"@k": "v", "#text": "t"}),
        ("<a>x<b/>y</a>", {"b": "", "#text": "xy"}),
        ("<a><![CDATA[<b>]]>&amp;&#233;</a>", "<b>&é"),
        ("<s:a xmlns:s='u' s:k='v'><s:b/></s:a>", {"@k": "v", "b": ""}),
        (f"<a {XSI} i:nil='true'/>", None),
        (f"<a {XSI} i:nil=' 1 ' k='v'> \n</a>", None),
        (f"<a {XSI}><b i:nil='true'/><b>2</b></a>", {"b": [None, "2"]}),
        (f"<a {XSI} i:nil='false'/>", {"@nil": "false"}),
        (f"<a {XSI} i:nil='true'>x</a>", {"@nil": "true", "#text": "x"}),
        (f"<a {XSI} i:nil='true'><b/></a>", {"@nil": "true", "b": ""}),
        ("<a><b nil='true' type='datetime'/></a>", {"b": None}),
        ("<a><b o:nil='true' xmlns:o='u'/></a>", {"b": {"@nil": "true"}}),
        ("<?xml version='1.0' encoding='UTF-8'?><!-- c --><a>é</a>", "é"),
    ],
)
def test_the_mapping_of_elements(text: str, expected: object) -> None:
    assert read(text) == {"a": expected}


def test_soap_is_xml() -> None:
    notifications = read(SALESFORCE.read_bytes())["Envelope"]["Body"]["notifications"]

    assert notifications["SessionId"] is None
    assert [entry["sObject"]["StageName"] for entry in notifications["Notification"]] == [
        "Closed Won",
        "Prospecting",
    ]
    assert notifications["Notification"][0]["sObject"]["@type"] == "sf:Opportunity"


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a><a/>",
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/"> %p;]><a/>',
    ],
)
def test_document_types_and_entities_are_refused(text: str) -> None:
    assert (
        refusal(text) == "The body is XML with a document type (DOCTYPE) or entities, which are never read."
    )


def test_what_is_no_xml_is_told_with_its_place() -> None:
    assert refusal("<a>\n<b></a>") == "The body is not XML: mismatched tag at line 2 column 6."
    assert refusal("<a>&x;</a>").startswith("The body is not XML: undefined entity")
    assert refusal("<a/><b/>").startswith("The body is not XML: junk after document element at line 1")
    assert refusal('{"a": 1}').startswith("The body is not XML: ")
    assert refusal("<a>") == "The body is not XML: no element found at line 1 column 4."
    assert refusal("  ").startswith("The body is empty")
    assert refusal(b"<a>\xff</a>") == "The body is not UTF-8: byte 0xff at position 3."


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> str:
        return "<a>" * depth + "</a>" * depth

    read(nested(MAX_DEPTH))
    assert refusal(nested(MAX_DEPTH + 1)) == f"The body is nested deeper than {MAX_DEPTH} levels."
    assert refusal("<a>" * 300_000) == f"The body is nested deeper than {MAX_DEPTH} levels."


_PIECES = st.sampled_from(
    [
        "<a>",
        "</a>",
        "<a",
        ">",
        "<b k='",
        "'",
        "&amp;",
        "&",
        "<![CDATA[",
        "]]>",
        "<!--",
        "<?",
        "<!DOCTYPE a [",
        "<!ENTITY x 'y'>",
        "&x;",
        "\x00",
        "é",
        " ",
        "<?xml version='1.0' encoding='utf-16'?>",
        "xmlns:s='u'",
        "s:",
    ]
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=30).map(lambda p: "".join(p).encode())))
def test_no_bytes_do_anything_but_be_read_or_refused(body: bytes) -> None:
    with suppress(MalformedBody):
        assert len(decode(XML, body, LIMIT)) == 1
