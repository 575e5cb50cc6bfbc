"""From bytes to payload: what is read, and the exact answer for what is not."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.body import MAX_DEPTH, MalformedBody, decode
from integration.core.errors import LeadwireError

LIMIT = 1 << 20
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def refusal(body: bytes, headers: dict[str, str] | None = None, limit: int = LIMIT) -> tuple[int, str, str]:
    with pytest.raises(MalformedBody) as caught:
        decode(JSON if headers is None else headers, body, limit)
    assert isinstance(caught.value, LeadwireError)
    assert str(caught.value) == caught.value.detail
    return caught.value.status, caught.value.code, caught.value.detail


def malformed(body: bytes, headers: dict[str, str] | None = None) -> str:
    status, code, detail = refusal(body, headers)
    assert (status, code) == (400, "malformed_body")
    return detail


def packed(encoding: str, **more: str) -> dict[str, str]:
    return {"content-encoding": encoding, **JSON, **more}


class TestContentType:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/cloudevents+json",
            "application/vnd.acme.v2+json ; charset=UTF-8",
            "text/json",
            "",
            " ; charset=utf-8",
        ],
    )
    def test_json(self, content_type: str) -> None:
        assert decode({"content-type": content_type}, b'{"a": 1}', LIMIT) == {"a": 1}

    def test_without_a_content_type_it_is_json(self) -> None:
        assert decode({}, b"[1]", LIMIT) == [1]

    @pytest.mark.parametrize("content_type", ["text/html", "multipart/form-data; boundary=x", "json"])
    def test_anything_else(self, content_type: str) -> None:
        kind = content_type.partition(";")[0]

        assert refusal(b"{}", {"content-type": content_type}) == (
            415,
            "unsupported_content_type",
            (
                f"The content type '{kind}' cannot be read: send application/json,"
                " application/x-www-form-urlencoded or application/xml."
            ),
        )


class TestJson:
    def test_values_keep_their_types(self) -> None:
        body = '{"a": [1, 1.5, true, false, null, "", "é😀"], "NO": "no", "": 0}'.encode()

        assert decode(JSON, body, LIMIT) == {"a": [1, 1.5, True, False, None, "", "é😀"], "NO": "no", "": 0}

    def test_a_byte_order_mark_is_tolerated(self) -> None:
        assert decode(JSON, b'\xef\xbb\xbf{"a": 1}', LIMIT) == {"a": 1}

    @pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("headers", [JSON, FORM])
    def test_nothing(self, body: bytes, headers: dict[str, str]) -> None:
        assert (
            malformed(body, headers) == "The body is empty: a JSON object, form fields or XML are expected."
        )

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'"x"', "a text"),
            (b"true", "true or false"),
            (b"12", "a number"),
            (b"1.5", "a number"),
            (b"null", "null"),
        ],
    )
    def test_a_value_that_is_no_object(self, body: bytes, kind: str) -> None:
        assert malformed(body) == f"The body is {kind}: a JSON object is expected."

    def test_where_it_stops_being_json(self) -> None:
        assert malformed(b'{"a": 1,\n "b" 2}') == (
            "The body is not JSON: Expecting ':' delimiter at line 2 column 6."
        )
        assert malformed(b"{} {}") == "The body is not JSON: Extra data at line 1 column 4."
        assert malformed(b'{"a": "b') == (
            "The body is not JSON: Unterminated string starting at line 1 column 7."
        )
        assert malformed(b"<html>") == "The body is not JSON: Expecting value at line 1 column 1."

    @pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
    def test_words_that_are_no_numbers(self, word: str) -> None:
        assert malformed(f'{{"a": {word}}}'.encode()) == f"The body is not JSON: {word} is not a JSON number."

    @pytest.mark.parametrize("number", ["1e999", "-1e999"])
    def test_a_float_beyond_all_floats(self, number: str) -> None:
        assert malformed(f'{{"a": {number}}}'.encode()) == (
            f"The body holds a number that is too large: '{number}'."
        )

    def test_a_number_of_200_digits_is_exact(self) -> None:
        assert decode(JSON, b'{"a": ' + b"7" * 200 + b"}", LIMIT) == {"a": int("7" * 200)}

    def test_a_number_of_thousands_of_digits(self) -> None:
        assert malformed(b'{"a": ' + b"7" * 5000 + b"}") == (
            "The body holds a whole number of thousands of digits."
        )

    def test_a_key_twice(self) -> None:
        assert malformed(b'{"a": {"plan": 1, "b": 2, "plan": 3}}') == (
            "The body has an object that names 'plan' twice."
        )

    def test_the_same_key_in_two_objects_is_fine(self) -> None:
        assert decode(JSON, b'[{"a": 1}, {"a": 2}]', LIMIT) == [{"a": 1}, {"a": 2}]

    def test_invalid_utf8(self) -> None:
        assert malformed(b'{"a": "\xe9"}') == "The body is not UTF-8: byte 0xe9 at position 7."
        assert malformed('{"a": 1}'.encode("utf-16")) == "The body is not UTF-8: byte 0xff at position 0."

    @pytest.mark.parametrize("escape", ["\\ud800", "\\uDFFF", "\\uDE00\\uD83D"])
    def test_half_a_character(self, escape: str) -> None:
        half = escape[:6].lower()
        expected = f"The body holds half of a character: {half} without its other half."

        assert malformed(f'{{"a": "{escape}"}}'.encode()) == expected
        assert malformed(f'{{"{escape}": 1}}'.encode()) == expected

    def test_both_halves_and_texts_that_only_look_like_halves(self) -> None:
        body = rb'{"a": "\ud83d\ude00", "b": "C:\\udata"}'

        assert decode(JSON, body, LIMIT) == {"a": "😀", "b": "C:\\udata"}

    def test_nul_is_let_through(self) -> None:
        assert decode(JSON, rb'{"a": "x\u0000y"}', LIMIT) == {"a": "x\0y"}


class TestDepth:
    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_as_deep_as_allowed(self, opening: str, closing: str) -> None:
        inner = opening.replace('"a":', "")
        depth = MAX_DEPTH - 1
        body = f"{opening * depth}{inner}{closing * MAX_DEPTH}".encode()

        assert decode(JSON, body, LIMIT)

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 10_000, 200_000])
    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":[', "]}")])
    def test_deeper(self, opening: str, closing: str, depth: int) -> None:
        count = -(-depth // opening.count("[")) if opening == "[" else -(-depth // 2)
        body = (opening * count + closing * count).encode()

        assert malformed(body) == "The body is nested deeper than 200 levels."

    def test_ten_thousand_levels_that_never_close(self) -> None:
        assert malformed(b"[" * 10_000) == "The body is nested deeper than 200 levels."

    def test_many_brackets_that_are_not_deep(self) -> None:
        rows = [{"a": [{}], "text": "[{" * 50} for _ in range(500)]

        assert decode(JSON, json.dumps(rows).encode(), LIMIT) == rows


class TestSizeAndEncoding:
    BODY = b'{"a": "' + b"x" * 1000 + b'"}'

    @pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
    def test_as_it_is(self, encoding: str) -> None:
        assert decode(packed(encoding), b"{}", LIMIT) == {}

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
    def test_gzip(self, encoding: str) -> None:
        assert decode(packed(encoding), gzip.compress(self.BODY), LIMIT) == json.loads(self.BODY)

    def test_gzip_of_several_members_and_padding(self) -> None:
        body = gzip.compress(b'{"a"') + gzip.compress(b"") + gzip.compress(b": 1}") + bytes(8)

        assert decode(packed("gzip"), body, LIMIT) == {"a": 1}

    def test_a_gzipped_form(self) -> None:
        assert decode({**FORM, "content-encoding": "gzip"}, gzip.compress(b"a=1"), LIMIT) == {"a": "1"}

    def test_deflate_with_and_without_its_header(self) -> None:
        bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)

        assert decode(packed("deflate"), zlib.compress(b'{"a": 1}'), LIMIT) == {"a": 1}
        assert decode(packed("deflate"), bare.compress(b'{"a": 1}') + bare.flush(), LIMIT) == {"a": 1}

    @pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
    def test_cut_anywhere(self, encoding: str, compress: Any) -> None:
        whole = compress(self.BODY)
        for length in range(2, len(whole)):
            assert malformed(whole[:length], packed(encoding)) == (
                f"The body is not whole: its {encoding} data ends too early."
            )

    @pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
    def test_not_what_the_encoding_promises(self, encoding: str, compress: Any) -> None:
        expected = f"The body is not the {encoding} data that its Content-Encoding promises."
        damaged = bytearray(compress(self.BODY))
        damaged[-3] ^= 255

        assert malformed(b'{"a": "plain"}', packed(encoding)) == expected
        assert malformed(bytes(damaged), packed(encoding)) == expected
        assert malformed(compress(b"{}") + b"more", packed(encoding)) == expected

    @pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
    def test_other_encodings(self, encoding: str) -> None:
        assert refusal(b"{}", packed(encoding)) == (
            415,
            "unsupported_content_encoding",
            f"The content encoding '{encoding}' cannot be read: send gzip, deflate or none.",
        )

    def test_the_limit_is_the_largest_size(self) -> None:
        size = len(self.BODY)

        assert decode(JSON, self.BODY, size)
        assert decode(packed("gzip"), gzip.compress(self.BODY), size)
        assert refusal(self.BODY, JSON, size - 1) == (
            413,
            "body_too_large",
            f"The body is larger than {size - 1} bytes.",
        )

    @pytest.mark.parametrize(
        ("encoding", "wbits"), [("gzip", 31), ("deflate", zlib.MAX_WBITS), ("deflate", -zlib.MAX_WBITS)]
    )
    def test_a_bomb_is_never_unpacked_whole(self, encoding: str, wbits: int) -> None:
        packer = zlib.compressobj(9, wbits=wbits)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()

        tracemalloc.start()
        answer = refusal(bomb, packed(encoding), 10_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert answer == (
            413,
            "body_too_large",
            "The body is larger than 10000 bytes after decompression.",
        )
        assert peak < 1 << 20


class TestForm:
    @pytest.mark.parametrize(
        ("body", "payload"),
        [
            ("a=1&b=&c=x+y%20z&d=%C3%A9", {"a": "1", "b": "", "c": "x y z", "d": "é"}),
            ("a=1&b=2&a=3", {"a": ["1", "3"], "b": "2"}),
            ("a[b][c]=x&a[b][d]=y&a[e]=z", {"a": {"b": {"c": "x", "d": "y"}, "e": "z"}}),
            ("a%5Bb%5D=1", {"a": {"b": "1"}}),
            ("list[]=1", {"list": ["1"]}),
            ("list[]=1&list[]=2", {"list": ["1", "2"]}),
            ("a[b]=1&a[b]=2", {"a": {"b": ["1", "2"]}}),
            ("a[][x]=1&a[][y]=2&a[][x]=3", {"a": [{"x": "1", "y": "2"}, {"x": "3"}]}),
            ("a[][x][]=1&a[][x][]=2", {"a": [{"x": ["1", "2"]}]}),
            ("a[0][x]=1&a[1][x]=2", {"a": [{"x": "1"}, {"x": "2"}]}),
            ("a[1]=1&a[2]=2", {"a": {"1": "1", "2": "2"}}),
            ("a[b=1&c]=2&[d]=3&e[f]g=4&=5", {"a[b": "1", "c]": "2", "[d]": "3", "e[f]g": "4", "": "5"}),
            ("flag&a=1", {"flag": "", "a": "1"}),
        ],
    )
    def test_fields(self, body: str, payload: dict[str, Any]) -> None:
        assert decode(FORM, body.encode(), LIMIT) == payload

    @pytest.mark.parametrize(
        "body", ["a=1&a[b]=2", "a[b]=2&a=1", "a[]=1&a[b]=2", "a[b]=1&a[]=2", "a[]=1&a=2"]
    )
    def test_a_field_that_is_two_things(self, body: str) -> None:
        name = body.partition("&")[2].partition("=")[0]

        assert malformed(body.encode(), FORM) == (
            f"The body is a form that gives '{name}' both as a text and as a group of fields."
        )

    def test_bytes_that_are_not_utf8(self) -> None:
        assert malformed(b"a=%E9", FORM) == "The body is a form whose percent-encoded bytes are not UTF-8."
        assert malformed(b"a=\xe9", FORM) == "The body is not UTF-8: byte 0xe9 at position 2."

    def test_too_deep(self) -> None:
        assert decode(FORM, b"a" + b"[b]" * 19 + b"=1", LIMIT)
        assert malformed(b"a" + b"[b]" * 20 + b"=1", FORM) == (
            "The body is a form that is nested deeper than 20 levels."
        )

    def test_too_many_fields(self) -> None:
        assert malformed(b"a=1&" * 10_000 + b"a=1", FORM) == "The body is a form of more than 10000 fields."

    @pytest.mark.parametrize("body", [b'{"a": 1}', b" [1]"])
    def test_json_that_calls_itself_a_form(self, body: bytes) -> None:
        assert malformed(body, FORM) == (
            "The body looks like JSON, but its content type is application/x-www-form-urlencoded:"
            " send application/json."
        )

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1), st.text(), min_size=1
        )
    )
    def test_plain_fields_come_back_as_they_were(self, fields: dict[str, str]) -> None:
        body = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields.items())

        assert decode(FORM, body.encode(), LIMIT) == fields


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_HEADERS = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from([*JSON.values(), *FORM.values(), ""]),
        "content-encoding": st.sampled_from(["", "gzip", "deflate", "identity"]),
    }
)
_BODIES = (
    st.binary(max_size=200)
    | st.text(alphabet='{}[]":,.\\u0deE+-1&=a% ', max_size=80).map(str.encode)
    | st.binary(max_size=100).map(gzip.compress)
    | st.binary(max_size=100).map(zlib.compress)
)


@settings(deadline=None, max_examples=300)
@given(headers=_HEADERS, body=_BODIES, limit=st.integers(1, 150))
def test_any_bytes_give_a_value_or_a_clear_refusal(headers: dict[str, str], body: bytes, limit: int) -> None:
    with suppress(MalformedBody):
        payload = decode(headers, body, limit)
        assert isinstance(payload, (dict, list))
        json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()


@settings(deadline=None)
@given(payload=_JSON_VALUES.filter(lambda value: isinstance(value, (dict, list))), escaped=st.booleans())
def test_what_json_can_say_comes_back(payload: Any, *, escaped: bool) -> None:
    body = json.dumps(payload, ensure_ascii=escaped).encode()

    assert decode(JSON, body, LIMIT) == payload
    assert decode(packed("gzip"), gzip.compress(body), LIMIT) == payload
