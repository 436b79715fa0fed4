"""What is left of a payload: decided without a file or a CRM."""

import json

import pytest

from onepipe.records import Record
from onepipe.redaction import Addresses, Kept, Redaction, fingerprint

KEY = b"k" * 32
ADDRESS = "zoe.q@example.org"
KNOWN = Addresses(KEY, frozenset([fingerprint(KEY, ADDRESS)]))
NOBODY = Addresses(KEY, frozenset())
KEPT = Kept(
    paths=(("", "id"), ("", "step", "name"), ("", "owner"), ("", "value")),
    parts=(("", "lines", "[]"), ("", "lines", "[]", "people", "[]"), ("party", "[]")),
    reference=("steps",),
)


@pytest.mark.parametrize(
    "text",
    [
        "zoe.q@example.org",
        "ZOE.Q@Example.ORG",
        "<mailto:zoe.q@example.org?subject=x>",
        "write to zoe.q@example.org.",
        "Zoë <zoe.q@example.org>, Bo <bo@example.org>",
        "https://crm.example/find?email=zoe.q%40example.org&x=1",
        "email=zoe.q@example.org&x=1",
        "zoe.q%2540example.org",
        "zoe.q&#64;example.org",
        r"a\nzoe.q@example.org",
        r'{"a":"\nzoe.q\u0040example.org"}',
        r"{\"to\":\"zoe.q@example.org\"}",
        "'zoe.q@example.org'",
    ],
)
def test_an_address_is_known_however_it_is_written(text: str) -> None:
    """In any case of letters, in a sentence, in a URL, in HTML, in JSON and in JSON within JSON."""
    assert KNOWN.known(text)


@pytest.mark.parametrize(
    "text", ["", "zoe.q", "@example.org", "azoe.q@example.org", "zoe.q@example.org.uk", "zoe.q@example.com", "a@b@c"]
)
def test_another_address_is_not_taken_for_it(text: str) -> None:
    """One that only begins or ends like it is somebody else's."""
    assert not KNOWN.known(text)


def test_of_a_marked_deal_only_figures_stay_digit_for_digit() -> None:
    """Values at the kept paths stay as they were sent; lists, objects and what nobody knows go."""
    payload = b'{"value":12345678901234.56780,"name":"Zo","step":{"name":"Won","by":"Zo"},"new":{"x":"Zo"},"id":7}'
    redaction = Redaction(KEPT, ["7"], NOBODY)
    left = redaction.payload("opportunity", "7", payload)
    assert b'{"id":7,"step":{"name":"Won"},"value":12345678901234.56780}' == left
    assert left == redaction.payload("opportunity", "7", left)
    assert b"[]" == redaction.payload("party", "7", b'[{"id":"5","name":"Zo"}]')
    assert b"{}" == redaction.payload("opportunity", "7", b"no JSON")


def test_an_element_goes_whole_and_the_innermost_that_is_somebody() -> None:
    """The person within a line goes, not the line; a note on the line takes the line, for nobody stands around it."""
    redaction = Redaction(KEPT, [], KNOWN)
    people = [{"id": 1, "mails": [{"at": ADDRESS}]}, {"id": 2}]
    lines = [{"n": 1, "people": people}, {"n": 2, "note": f"see {ADDRESS}"}]
    told = {"id": "7", "lines": lines, "tags": ["a", ADDRESS]}
    left = json.loads(redaction.payload("opportunity", "7", json.dumps(told).encode()))
    assert {"id": "7", "lines": [{"n": 1, "people": [{"id": 2}]}], "tags": ["a"]} == left
    assert [] == redaction.met


def test_a_deal_that_holds_the_address_itself_is_marked() -> None:
    """Outside of lists it is the deal's own; as the owner it goes alone."""
    marked: list[str] = []
    redaction = Redaction(KEPT, [], KNOWN, marked.append)
    told = json.dumps({"id": "7", "owner": ADDRESS, "name": "Roof"}).encode()
    assert {"id": "7", "owner": None, "name": "Roof"} == json.loads(redaction.payload("opportunity", "7", told))
    assert [] == marked
    told = json.dumps({"id": "7", "contact": {"email": ADDRESS}, "name": "Roof", "value": 1}).encode()
    assert b'{"id":"7","value":1}' == redaction.payload("opportunity", "7", told)
    assert ["7"] == marked
    assert b'{"id":"7"}' == redaction.payload("opportunity", "7", b'{"id":"7","name":"Roof of Zo"}')


def test_a_page_without_anybody_is_returned_as_it_is() -> None:
    """No payload is parsed, and each record is the very one that came."""
    records = [Record(str(n), b"no JSON at all, bo@example.org") for n in range(3)]
    for redaction in (Redaction(KEPT, ["x"], KNOWN), Redaction(KEPT, [], NOBODY)):
        page = redaction.page("opportunity", records)
        assert all(one is other for one, other in zip(page, records, strict=True))


def test_what_is_no_record_says_nothing_of_the_person() -> None:
    """An element without an id that holds the address is kept as something that was erased."""
    redaction = Redaction(KEPT, [], KNOWN)
    assert [b'{"erased":true}', b'{"a":1}'] == redaction.unreadable([f'{{"m":"{ADDRESS}"}}'.encode(), b'{"a":1}'])
