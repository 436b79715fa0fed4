"""docs/warehouse.md shows each table and view with an example, and each example what the story behind it gives."""

import re

import pytest

from onepipe.warehouse.query import open_desk
from tests.cli.place import Place
from tests.warehouse.story import play
from tests.warehouse.test_example import PAGE

SECTIONS = dict(re.findall(r"^## (.+)\n((?s:.*?))(?=^## |\Z)", PAGE, re.MULTILINE))
SHOWN = re.compile(r"(?:```sql\n((?:(?!```)[^;])*);\n```|((?:^    .*\n)+))\n+```text\n((?s:.*?))```", re.MULTILINE)
TESTED = re.compile(r"```sql\n((?:(?!```)[^;])*);\n```\n\n\|")  # by test_example, test_parties and test_children
ELSEWHERE = ("A worked example", "An example of names", "Children")
TOGETHER = {"deals": "deals and open_deals", "open_deals": "deals and open_deals"}
PUBLISHED = """SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal
    UNION SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal
    UNION SELECT schema_name, function_name FROM duckdb_functions()
        WHERE NOT internal AND function_type = 'table_macro' ORDER BY ALL"""


def examples(text: str) -> list[tuple[str, str]]:
    """The queries of a section with what they are said to answer."""
    found = ((fenced or indented, answer) for fenced, indented, answer in SHOWN.findall(text))
    return [(query.strip().removesuffix(";"), answer) for query, answer in found]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The project at the end of the story."""
    return Place(play(tmp_path_factory.mktemp("story")).parent)


@pytest.mark.parametrize("section", [name for name, text in SECTIONS.items() if SHOWN.search(text)])
def test_a_section_shows_what_its_queries_answer(place: Place, section: str) -> None:
    """Each query with an answer below it answers so, on the file that the story left, in at most six lines."""
    for query, answer in examples(SECTIONS[section]):
        told = place.run("sql", "-", given=query)
        assert (0, answer) == (told.code, told.out), query
        assert 1 <= len(answer.splitlines()[2:]) <= 6


def test_no_answer_is_left_out() -> None:
    """Each block of an answer belongs to a query that is tested."""
    assert PAGE.count("```text\n") == sum(len(examples(text)) for text in SECTIONS.values())


def test_every_table_and_view_has_an_example(place: Place) -> None:
    """Whatever can be queried in the file is queried in its own section, or in one of the examples tested elsewhere."""
    with open_desk(place.folder / "warehouse.duckdb") as desk:
        found = [(str(schema), str(name)) for schema, name in desk.ask(PUBLISHED).rows if schema != "store"]
    assert {"main", "raw", "frozen"} == {schema for schema, _ in found}
    elsewhere = [query for name in ELSEWHERE for query in TESTED.findall(SECTIONS[name])]
    without = []
    for schema, name in found:
        place_name = name if schema == "main" else f"{schema}.{name}"
        section = SECTIONS["Frozen days"] if schema == "frozen" else SECTIONS[TOGETHER.get(name, place_name)]
        queries = [query for query, _ in examples(section)] + elsewhere
        if not any(asks(query, schema, name) for query in queries):
            without.append(place_name)
    assert [] == without


def asks(query: str, schema: str, name: str) -> bool:
    """Whether a query reads from that table, view or macro."""
    written = rf'"?{re.escape(name)}"?' if schema == "main" else rf'{schema}\."?{re.escape(name)}"?'
    return re.search(rf"\b(?:FROM|JOIN)\s+{written}(?![\w.\"-])", query) is not None
