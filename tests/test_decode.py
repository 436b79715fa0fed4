"""Bytes to records: exact, in one line, and never an empty page where the data is missing."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.decode import (
    Record,
    json_facts,
    json_page,
    json_record,
    long_numbers_quoted,
    xml_json,
    xml_page,
    xml_record,
)
from onepipe.errors import BadPayload

BRISK = settings(max_examples=60, deadline=None, derandomize=True, database=None)
LONG_ID = 9_007_199_254_740_993_000_001


def records(*rows: Any, **options: Any) -> list[Record]:
    return json_page(json.dumps(rows).encode(), **options).records


# JSON


def test_a_page_is_split_into_the_bytes_that_were_sent() -> None:
    """Each payload is the CRM's own bytes, whatever their order, blanks and numbers."""
    first, second = b'{"id": 1,"b":1.50 ,"a":[ {} ]}', b'{"id":"x","\\u00e4":1e2}'
    page = json_page(b'{"data":[' + first + b" , " + second + b'],"total":2}', "data")
    assert [Record("1", first), Record("x", second)] == page.records


@pytest.mark.parametrize(
    ("content", "path"),
    [(b'[{"id":1}]', ""), (b'{"a":[{"id":1}]}', "a"), (b'{"x":0,"a":{"y":[],"b":[{"id":1}]},"z":{}}', "a.b")],
)
def test_the_list_may_stand_anywhere(content: bytes, path: str) -> None:
    """A bare array, a key, a path of keys."""
    assert [Record("1", b'{"id":1}')] == json_page(content, path).records


def test_ids_keep_every_digit() -> None:
    """An id is text, exact beyond 64 bits."""
    assert [str(LONG_ID), "007", "-1"] == [r.id for r in records({"id": LONG_ID}, {"id": "007"}, {"id": -1})]


def test_id_and_stamp_may_be_nested_and_named_otherwise() -> None:
    """Paths lead into a record; a stamp that is missing is None, and one that is no text is text."""
    row = {"meta": {"key": "a", "changed": "2026-01-15T12:00:00Z"}, "@size": 5}
    assert "2026-01-15T12:00:00Z" == records(row, id="meta.key", stamp="meta.changed")[0].stamp
    assert "5" == records(row, id="meta.key", stamp="@size")[0].stamp
    assert None is records(row, id="meta.key", stamp="meta.none")[0].stamp
    assert None is records(row, id="meta.key", stamp="none.at.all")[0].stamp
    assert None is records({"id": 1, "s": None}, stamp="s")[0].stamp


def test_elements_that_are_no_records_are_kept_apart() -> None:
    """One bad element costs neither its page nor itself: it is handed on as it was sent."""
    odd: list[Any] = [None, 7, "text", [1], {}, {"id": None}, {"id": True}, {"id": ""}, {"id": {"x": 1}}, {"id": 1.5}]
    page = json_page(json.dumps([{"id": 1}, *odd, {"id": 2}]).encode())
    assert ["1", "2"] == [record.id for record in page.records]
    assert odd == [json.loads(row) for row in page.unreadable]


def test_text_that_is_not_utf8_is_kept_apart() -> None:
    """Bytes of another encoding would break every reader after us; the other rows load."""
    page = json_page(b'[{"id":1,"n":"\xe4"},{"id":2,"n":"\xc3\xa4"}]')
    assert (["2"], [b'{"id":1,"n":"\xe4"}']) == ([r.id for r in page.records], page.unreadable)


def test_a_payload_is_one_line() -> None:
    """Line breaks between tokens go; those inside strings are escapes and stay."""
    content = json.dumps([{"id": 1, "text": "a\r\nb"}, {"id": 2}], indent=2).replace("\n", "\r\n").encode()
    payloads = [record.payload for record in json_page(content).records]
    assert not any(c in payload for payload in payloads for c in b"\r\n")
    assert [{"id": 1, "text": "a\r\nb"}, {"id": 2}] == [json.loads(payload) for payload in payloads]


@pytest.mark.parametrize("path", ["a", "b", "c", "a.b", "d.e", "f"])
def test_a_missing_list_is_an_error(path: str) -> None:
    """No key, null, or something else at the path is never an empty page; the message says where and what."""
    content = b'{"a":null,"b":{},"c":"[]","d":[],"success":false}'
    with pytest.raises(BadPayload, match=f"no list at “{path}”.*success"):
        json_page(content, path)


def test_an_empty_list_is_an_empty_page() -> None:
    """What the CRM says is empty is empty."""
    assert [] == json_page(b"[]").records == json_page(b'{"a":[],"total":0}', "a", total="total").records


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty body"),
        (b" \n", "empty body"),
        (b'[{"id":1}', "cut short: 9 bytes"),
        (b'{"a":[{"id":1},{"i', "cut short"),
        (b"<html><title>Sign in</title>", "a page titled “Sign in”"),
        (b"Service Unavailable", "it begins: Service Unavailable"),
        (b'[{"id":01}]', "not JSON"),
        (b"[1]]", "not JSON"),
        (b"[" * 9999 + b"]" * 9999, "nested deeper"),
        (b"null", "no list"),
        (b'"x"', "no list"),
        (gzip.compress(b"[]", mtime=0)[:-4], "cut short"),
        (b"\x1f\x8brubbish that is none", "cannot be unpacked"),
    ],
)
def test_what_is_no_json_list_is_refused(content: bytes, words: str) -> None:
    """Every other body is BadPayload that says why."""
    with pytest.raises(BadPayload) as caught:
        json_page(content)
    assert words in str(caught.value)


def test_an_excerpt_shows_no_credential() -> None:
    """Neither long words nor query strings of the body come into a message."""
    token = "sk_test_0123456789abcdef"
    with pytest.raises(BadPayload) as caught:
        json_page(f'{{"error":"bad token {token}","next":"https://x/y?api_token={token}"}}'.encode(), "data")
    assert (True, False) == ("bad token" in str(caught.value), "sk_test" in str(caught.value))


def test_byte_order_mark_and_gzip() -> None:
    """Both are taken off, alone and together."""
    marked = b"\xef\xbb\xbf" + b'[{"id":1}]'
    for content in (marked, gzip.compress(marked, mtime=0), gzip.compress(b'[{"id":1}]', mtime=0)):
        assert [Record("1", b'{"id":1}')] == json_page(content).records


def test_what_json_cannot_hold_costs_its_value_alone() -> None:
    """NaN and Infinity become texts, which their column cannot read, and half a surrogate pair becomes U+FFFD."""
    odd = b'{"id":3,"n":"\\ud83d\\ude00 \\ud83d \\\\ud83d \\udc00"}'
    content = b'[{"id":1,"v":NaN,"n":"NaN \\" NaN"},{"id":2,"v":-Infinity},' + odd + b"]"
    rows = [json.loads(record.payload) for record in json_page(content).records]
    assert [{"id": 1, "v": "NaN", "n": 'NaN " NaN'}, {"id": 2, "v": "-Infinity"}] == rows[:2]
    assert "😀 \ufffd \\ud83d \ufffd" == rows[2]["n"]
    assert 3 == json_page(b'{"total":3,"data":' + content + b"}", "data", total="total").total


def test_a_page_knows_what_the_list_says_of_itself() -> None:
    """Counts may be numbers or texts, or come from a header; whether more follows may be a flag or a next page."""
    content = b'{"d":[],"m":{"total":"41","pages":3,"more":false,"next":"","cursor":[1,"a"],"odd":-1,"x":"ten"}}'
    page = json_page(content, "d", total="m.total", pages="m.pages", more="m.more", cursor="m.cursor")
    assert (41, 3, False, [1, "a"]) == (page.total, page.pages, page.more, page.cursor)
    page = json_page(content, "d", total="m.odd", pages="m.x", more="m.next", cursor="none")
    assert (None, None, False, None) == (page.total, page.pages, page.more, page.cursor)
    page = json_page(b"[]", total=41, pages=3, more=True)
    assert (41, 3, True) == (page.total, page.pages, page.more)
    assert (None, True) == ((page := json_page(b'{"d":[],"t":null,"n":2}', "d", total="t", more="n")).total, page.more)


def test_facts_are_read_without_the_rest() -> None:
    """Values at paths, None where there is nothing, from any body of JSON."""
    content = b'{"status":"error","messages":{"403":"Failed"},"list":[{"a":1}],"n":null}'
    assert ["error", "Failed", [{"a": 1}], None, None] == json_facts(
        content, "status", "messages.403", "list", "n", "x.y"
    )
    assert [None] == json_facts(b"[]", "status")
    with pytest.raises(BadPayload):
        json_facts(b"<html>", "status")


def test_one_record() -> None:
    """A single object, bare or below a path; anything else is refused."""
    assert Record("7", b'{"id":7,"u":"x"}', "x") == json_record(b' {"id":7,"u":"x"} ', stamp="u")
    assert Record("7", b'{"id":7}') == json_record(b'{"status":"success","opportunity":{"id":7}}', "opportunity")
    for content in (b'{"opportunity":null}', b'{"opportunity":{"name":"x"}}', b'{"opportunity":[]}', b"[]", b"{}"):
        with pytest.raises(BadPayload):
            json_record(content, "opportunity")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@BRISK
@given(
    st.lists(st.dictionaries(st.text(), anything, max_size=5), max_size=5), st.booleans(), st.sampled_from([None, 1])
)
def test_any_record_comes_out_as_it_went_in(rows: list[dict[str, Any]], ascii_only: bool, indent: int | None) -> None:
    """Whatever a record holds, its payload is the same JSON in one line."""
    rows = [{**row, "id": number} for number, row in enumerate(rows)]
    content = json.dumps({"rows": rows}, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    page = json_page(content, "rows")
    assert [] == page.unreadable
    assert rows == [json.loads(record.payload) for record in page.records]
    assert not any(b"\n" in record.payload for record in page.records)


# Numbers


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":12345678901234567.89}', b'{"a":"12345678901234567.89"}'),
        (b'{"a":123456789012345}', None),
        (b'{"a":1234567890123456}', b'{"a":"1234567890123456"}'),
        (b'{"a":-9007199254740993}', b'{"a":"-9007199254740993"}'),
        (
            b'{"a":[0.1234567890123456,0.000000000000000000001]}',
            b'{"a":["0.1234567890123456",0.000000000000000000001]}',
        ),
        (b'{"a":1e400,"b":1E-400,"c":1e22,"d":1.5E+3}', b'{"a":"1e400","b":"1E-400","c":1e22,"d":1.5E+3}'),
        (b'{"a":"12345678901234567890","b\\"1234567890123456789":"\\\\"}', None),
        (b'{"text":"x: 12345678901234567890, y","n":1}', None),
        (b'{"n" : 12345678901234567890 }', b'{"n" : "12345678901234567890" }'),
        (b"12345678901234567890", b'"12345678901234567890"'),
        (b'{"opportunity":"opp_7f2c5e3000aa","n":5}', None),
    ],
)
def test_long_numbers_become_text(payload: bytes, expected: bytes | None) -> None:
    """What a double would not carry exactly is quoted; short numbers and strings stay as they are."""
    assert (expected or payload) == long_numbers_quoted(payload)


@BRISK
@given(anything, st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 500))
def test_no_number_changes(value: Any, number: Decimal) -> None:
    """Read as decimals, a record says the same before and after; what is left as a number survives a double."""
    payload = b'{"v":%b,"n":%b}' % (json.dumps(value).encode(), str(number).encode())
    quoted = long_numbers_quoted(payload)

    def exact(text: bytes) -> Any:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)

    def same(before: Any, after: Any) -> bool:
        if isinstance(before, dict):
            return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
        if isinstance(before, list):
            return len(before) == len(after) and all(map(same, before, after))
        if isinstance(before, Decimal) and isinstance(after, str):
            return before == Decimal(after)
        return bool(before == after and (not isinstance(after, Decimal) or after == Decimal(repr(float(after)))))

    assert same(exact(payload), exact(quoted))


# XML

OPPORTUNITY = (
    "<opportunity><id>43</id><name>R&amp;D &lt;x&gt; 世界</name><description/><partyId>2</partyId>"
    "<value>500.00</value><updatedOn>2011-09-30T00:00:00Z</updatedOn></opportunity>"
).encode()
HEAD = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def test_xml_becomes_one_line_of_json() -> None:
    """Elements are keys in document order, leaves are texts, empty ones null, attributes dropped."""
    page = xml_page(
        HEAD + b'<opportunities size="1">' + OPPORTUNITY + b"</opportunities>", "opportunity", stamp="updatedOn"
    )
    payload = (
        '{"id":"43","name":"R&D <x> 世界","description":null,"partyId":"2","value":"500.00",'
        '"updatedOn":"2011-09-30T00:00:00Z"}'
    )
    assert [Record("43", payload.encode(), "2011-09-30T00:00:00Z")] == page.records
    assert page.records == [xml_record(HEAD + OPPORTUNITY, stamp="updatedOn")]


def test_xml_lists() -> None:
    """What stands twice is an array, and so is what is named, however often; blanks between elements are nothing."""
    content = b"""<r><id>1</id>
      <a>x</a><a>y</a><a/>
      <b><c>1</c></b><d> two words </d><e>
      </e><f/>
    </r>"""
    expected = {"id": "1", "a": ["x", "y", None], "b": {"c": "1"}, "d": " two words ", "e": None, "f": None}
    assert expected == json.loads(xml_record(content).payload)
    listed = json.loads(xml_record(content, lists=("a", "b", "f")).payload)
    assert (["x", "y"], [{"c": "1"}], []) == (listed["a"], listed["b"], listed["f"])


def test_xml_of_any_answer() -> None:
    """A whole answer as JSON; its children as an array where its name is listed."""
    tags = b'<tags size="2"><tag><name>a</name></tag><tag><name>b</name></tag></tags>'
    assert b'[{"name":"a"},{"name":"b"}]' == xml_json(tags, lists=("tags",))
    assert b'{"tag":[{"name":"a"},{"name":"b"}]}' == xml_json(tags)
    assert (b"[]", b"null") == (xml_json(b"<tags/>", lists=("tags",)), xml_json(b"<tags/>"))
    assert b'["GBP"]' == xml_json(b"<currencies><currency>GBP</currency></currencies>", lists=("currencies",))


def test_an_empty_xml_list_is_an_empty_page() -> None:
    """No items is no items, in every spelling."""
    for content in (
        b'<opportunities size="0"/>',
        b"<opportunities></opportunities>",
        HEAD + b"<opportunities>\n</opportunities>",
    ):
        assert [] == xml_page(content, "opportunity").records


def test_an_item_without_an_id_is_kept_apart() -> None:
    """An empty, missing or nested id is none."""
    content = b"<l><i><id>1</id></i><i><id/></i><i><n>x</n></i><i/><i><id><x>1</x></id></i></l>"
    page = xml_page(content, "i")
    assert ["1"] == [record.id for record in page.records]
    assert [b'{"id":null}', b'{"n":"x"}', b"{}", b'{"id":{"x":"1"}}'] == page.unreadable


BOMB = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l><i><id>&b;</id></i></l>'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<opportunities><opportunity><id>1</id>",
        b"<html><head><title>Sign in</title></head></html>",
        b'{"opportunities":[]}',
        b"<error>bad filter</error>",
        b"<opportunity><id>1</id></opportunity>",
        b"<l><i><id>1</id></i><message>and more</message></l>",
        b"<l>&unknown;</l>",
        b"<l><i><id>\x00</id></i></l>",
        b"<!DOCTYPE l><l><i><id>1</id></i></l>",
        b'<!DOCTYPE l SYSTEM "file:///etc/passwd"><l/>',
        b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l><i><id>&x;</id></i></l>',
        BOMB,
    ],
)
def test_what_is_no_xml_list_is_refused(content: bytes) -> None:
    """Cut, foreign or hostile XML is BadPayload: no DTD, no entity, no file, no other element than the item."""
    with pytest.raises(BadPayload):
        xml_page(content, "i" if b"<i>" in content else "opportunity")


def test_one_xml_record_needs_an_id() -> None:
    """An answer without one is not the record that was asked for."""
    with pytest.raises(BadPayload):
        xml_record(b"<error><message>no</message></error>")


xml_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))


@BRISK
@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,8}\Z"), xml_text, max_size=6))
def test_any_xml_text_comes_out_as_it_went_in(fields: dict[str, str]) -> None:
    """Whatever a leaf holds is the text of its key; only blank ones are null."""
    escaped = {k: v.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for k, v in fields.items()}
    body = "".join(f"<{key}>{value}</{key}>" for key, value in {"id": "1", **escaped, "id_": "1"}.items())
    expected = {key: value if value and not value.isspace() else None for key, value in {"id": "1", **fields}.items()}
    got = json.loads(xml_record(f"<r>{body}</r>".encode(), id="id_").payload)
    assert {**expected, "id_": "1"} == got
