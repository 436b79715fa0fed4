"""What all connectors have in common: one shape, one order of verbs, one way to be asked."""

import ast
import inspect
from datetime import UTC, datetime

import pytest

from onepipe import registry
from onepipe.connector import Answer, Connector, Facts, Page, Read, Record, read, rows, utc
from onepipe.errors import UsageError

FILES = {found.name: found.path for found in registry.every("connectors", None)}
VERBS = ["open", "count", "pull", "get", "deleted", "detail"]
WRITING = ["create", "made", "update", "delete", "created_since", "foresees", "choices"]


@pytest.mark.parametrize("name", FILES)
def test_verbs_stand_in_one_order(name: str) -> None:
    """Who has read one connector finds the way in every other: facts, verbs, actions, reads, the private."""
    made = registry.load(name, None)
    (body,) = [
        node
        for node in ast.parse(FILES[name].read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == made.__name__
    ]
    methods = [node.name for node in body.body if isinstance(node, ast.FunctionDef)]
    reads = [method for method in methods if method.rstrip("_") in made.reads() and method not in VERBS]
    actions = [method for method in methods if method in made.actions() and method not in reads]
    private = [method for method in methods if method.startswith("_")]
    assert [verb for verb in VERBS + WRITING if verb in methods] + actions + reads + private == methods


@pytest.mark.parametrize("name", FILES)
def test_a_connector_only_reads_and_tells(name: str) -> None:
    """No logging, no sleeping, no retry: those are the engine's."""
    tree = ast.parse(FILES[name].read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"collections.abc", "contextlib", "datetime", "decimal", "json", "re", "typing", "onepipe.connector"}
    assert set() == modules - allowed
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_docstring_says_what_people_must_know(name: str) -> None:
    """Where the credential is found, the oddest habits, and each setting with its name."""
    page = inspect.cleandoc(ast.get_docstring(ast.parse(FILES[name].read_text())) or "")
    facts = registry.load(name, None).facts
    assert all(word in page for word in ("Lists", "Oddest", "Access", "Life", *facts.settings))
    assert facts.ends is None or facts.ends in page


class Asking(Connector):
    """A connector with one read of each kind of argument."""

    facts = Facts(
        title="Asking", api="-", verified="-", base_url="https://x.example", credentials=("key",), page_size=1
    )

    @read
    def plain(self) -> bytes:
        """Needs nothing."""
        return b"[]"

    @read
    def typed(
        self, *, party_id: str, limit: int = 3, open_only: bool = False, since: datetime | None = None
    ) -> list[object]:
        """Takes all sorts.

        A second paragraph is for the page, not for the list.
        """
        return [party_id, limit, open_only, since]

    @read
    def deleted_(self, *, tag: str) -> str:
        """Is called like a verb."""
        return tag


ASKING = Asking("https://x.example", {})


def test_reads_describe_themselves() -> None:
    """The list of reads has names, sentences and parameters, in the order of the file."""
    found = Asking.reads()
    assert ["plain", "typed", "deleted"] == list(found)
    assert "Takes all sorts." == found["typed"].doc
    assert [("party_id", str, True), ("limit", int, False), ("open_only", bool, False), ("since", datetime, False)] == [
        (one.name, one.type, one.required) for one in found["typed"].parameters
    ]


def test_words_become_arguments() -> None:
    """key=value texts are turned into what the read declares."""
    words = {"party_id": "007", "limit": "-5", "open_only": "TRUE", "since": "2024-03-01"}
    assert ["007", -5, True, datetime(2024, 3, 1, tzinfo=UTC)] == ASKING.ask("typed", words)
    assert ["7", 3, False, None] == ASKING.ask("typed", {"party_id": "7"})
    assert "x" == ASKING.ask("deleted", {"tag": "x"})


@pytest.mark.parametrize("key", ["party_id", "party", "id", "opportunity_id"])
def test_an_id_may_be_called_what_it_is(key: str) -> None:
    """`party`, `id` and `party_id` mean one another while nothing else could be meant."""
    assert "7" == ASKING.ask("typed", {key: "7"})[0]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("nothing", {}, "no read 'nothing'"),
        ("open", {}, "no read 'open'"),
        ("typed", {}, "'party_id' is missing"),
        ("typed", {"party_id": "1", "colour": "red"}, "no 'colour'"),
        ("typed", {"colour": "red"}, "no 'colour'"),
        ("typed", {"party_id": "1", "limit": "many"}, "limit='many' is not a whole number"),
        ("typed", {"party_id": "1", "open_only": "perhaps"}, "true or false"),
        ("typed", {"party_id": "1", "since": "soon"}, "a day or an instant"),
        ("plain", {"x": "1"}, "no 'x'"),
    ],
)
def test_wrong_words_are_refused(name: str, words: dict[str, str], message: str) -> None:
    """An unknown read, key or value is a UsageError that says what there is."""
    with pytest.raises(UsageError, match=message) as raised:
        ASKING.ask(name, words)
    assert raised.value.hint or "limit" in message or "is not" in str(raised.value)


def test_rows_stay_as_they_came() -> None:
    """The records of all pages become one array without touching a byte of them."""
    pages = [Page([Record("1", b'{"id":1.10}')]), Page([]), Page([Record("2", b'{"id":  2}')])]
    assert b'[{"id":1.10},{"id":  2}]' == rows(pages)


def test_small_tools() -> None:
    """Instants are printed in UTC."""
    assert (None, "1000") == (utc(None, "%H%M"), utc(datetime.fromisoformat("2024-07-01T11:00+01:00"), "%H%M"))


@pytest.mark.parametrize("name", ["administrate", "capsule", "onautomate", "overplane"])
def test_the_prefix_may_stand_in_the_base_url_or_not(name: str) -> None:
    """What all paths begin with may be part of the base_url that people write; it is never sent twice."""
    made = registry.load(name, None)
    spelt = ["https://x.example", "https://x.example/", "https://x.example" + made.facts.prefix]
    assert {"https://x.example"} == {made(url, {}).base_url for url in spelt}


def test_a_verb_that_is_not_defined_cannot_be_done() -> None:
    """What a CRM can do is what its class defines."""
    assert (True, False) == (Asking.can("get"), Asking.can("detail"))
    assert isinstance(Asking.reads()["plain"], Read)
    assert "Answer" in Answer.__name__
