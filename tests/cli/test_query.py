"""`sql` and `get`: exact values in every format, and nothing but reading."""

import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place

VALUES = """SELECT 1234567890123.4567::DECIMAL(18,4) AS amount, TIMESTAMPTZ '2026-01-15 12:55:00+01' AS at,
    ['a', 'b,"c"'] AS tags, '{"n": 1.10}'::JSON AS custom, NULL AS nothing, '' AS empty, true AS flag,
    DATE '2026-01-15' AS day, 'x' AS "odd, name", 'nan'::DOUBLE AS nan"""


def test_json_keeps_every_digit_and_every_type(synced: Place) -> None:
    """A DECIMAL is written as a number, digit for digit; instants are UTC; lists and JSON are JSON."""
    (row,) = json.loads(synced.run("sql", VALUES, "--format", "json").out, parse_float=Decimal)
    assert Decimal("1234567890123.4567") == row["amount"]
    assert ("2026-01-15T11:55:00Z", "2026-01-15") == (row["at"], row["day"])
    assert (["a", 'b,"c"'], {"n": Decimal("1.10")}) == (row["tags"], row["custom"])
    assert (None, "", True, None) == (row["nothing"], row["empty"], row["flag"], row["nan"])


def test_csv_tells_null_from_empty(synced: Place) -> None:
    """NULL is nothing, an empty text is two quotes; what needs quotes has them."""
    head, row = synced.run("sql", VALUES, "--format", "csv").out.splitlines()
    assert 'amount,at,tags,custom,nothing,empty,flag,day,"odd, name",nan' == head
    assert row.startswith('1234567890123.4567,2026-01-15T11:55:00Z,"[""a"",""b,\\""c\\""""]","{""n"": 1.10}",,"",true,')


def test_a_table_is_for_people(synced: Place) -> None:
    """The default, on a terminal and off it; numbers flush right."""
    lines = synced.run("sql", "SELECT 'a' AS name, 1.5 AS amount UNION ALL SELECT NULL, 10 ORDER BY 2").out.splitlines()
    assert ["name  amount", "────  ──────", "a        1.5", "NULL    10.0"] == lines


def test_an_empty_answer_is_an_empty_document(synced: Place) -> None:
    """No rows is an answer, too."""
    query = "SELECT 1 AS n WHERE false"
    assert [] == synced.run("sql", query, "--json").json
    assert "n\n" == synced.run("sql", query, "--format", "csv").out


def test_the_order_asked_for_is_kept(synced: Place) -> None:
    """The user's query stands inside of ours, and its ORDER BY still holds."""
    told = synced.run("sql", "SELECT n FROM range(5000) AS r(n) ORDER BY n DESC", "--format", "csv")
    assert [str(n) for n in reversed(range(5000))] == told.out.splitlines()[1:]


def test_parquet_keeps_duckdbs_types(synced: Place, tmp_path: Path) -> None:
    """The file is written whole or not at all, and only where it was asked for."""
    out = tmp_path / "it's.parquet"
    told = synced.run("sql", "FROM opportunities", "--format", "parquet", "-o", str(out))
    assert (0, [out]) == (told.code, list(tmp_path.iterdir())), told.err
    query = f"SELECT typeof(amount), typeof(updated_at), typeof(tags) FROM '{tmp_path}/it''s.parquet' LIMIT 1"
    assert [("DECIMAL(18,4)", "TIMESTAMP WITH TIME ZONE", "VARCHAR[]")] == duckdb.sql(query).fetchall()


def test_an_answer_in_a_file_replaces_it_whole(synced: Place, tmp_path: Path) -> None:
    """A query that fails leaves the file as it was."""
    out = tmp_path / "answer.csv"
    assert 0 == synced.run("sql", "SELECT 1 AS n", "--format", "csv", "-o", str(out)).code
    assert 2 == synced.run("sql", "SELECT nope", "--format", "csv", "-o", str(out)).code
    assert ("n\n1\n", [out]) == (out.read_text(), list(tmp_path.iterdir()))


def test_queries_come_from_a_file_or_stdin(synced: Place, tmp_path: Path) -> None:
    """With a trailing semicolon and comments, as people keep them."""
    file = tmp_path / "query.sql"
    file.write_text("-- how many?\nSELECT 7 AS n;\n-- the end\n")
    assert [{"n": 7}] == synced.run("sql", "-f", str(file), "--json").json
    assert [{"n": 8}] == synced.run("sql", "-", "--json", given="SELECT 8 AS n -- so many").json
    assert [{"é;": ";"}] == synced.run("sql", """SELECT ';' AS "é;"; /* ; */ -- ;""", "--json").json


@pytest.mark.parametrize(
    "words", [(), ("SELECT 1", "-f", "x.sql"), ("SELECT 1", "--format", "parquet"), ("-f", "x.sql")]
)
def test_a_query_comes_from_one_place(synced: Place, words: tuple[str, ...]) -> None:
    """None, two, a file that is not there, or Parquet to a terminal: exit code 2."""
    told = synced.run("sql", *words)
    assert (2, "", False) == (told.code, told.out, "Traceback" in told.err)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM connections",
        "CREATE TABLE mine (n INT)",
        "DROP VIEW opportunities",
        "COPY connections TO '/tmp/onepipe-must-not-be.csv'",
        "ATTACH '/tmp/onepipe-must-not-be.duckdb'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_what_writes_or_reaches_outside_is_refused_in_duckdbs_words(synced: Place, query: str) -> None:
    """The warehouse is open read-only, and a query reaches no other file."""
    told = synced.run("sql", query)
    assert (2, "") == (told.code, told.out)
    assert "Error: " in told.err


def test_two_statements_are_refused(synced: Place) -> None:
    """Nobody should believe that both were run."""
    told = synced.run("sql", "SELECT 1; SELECT 2")
    assert (2, "These are 2 statements, and one is run at a time; nothing was run.\n") == (told.code, told.err)


def test_a_mistake_is_told_in_duckdbs_words_with_its_line(synced: Place) -> None:
    """The line is that of the user's query, though it runs inside of ours."""
    told = synced.run("sql", "SELECT 1,\n  amont\nFROM opportunities")
    assert 2 == told.code
    assert told.err.startswith('Binder Error: Referenced column "amont" not found')
    assert "LINE 2:   amont" in told.err


def test_a_cast_that_fails_halfway_is_told_the_same_way(synced: Place) -> None:
    """An error after the first rows ends with 2, too."""
    told = synced.run(
        "sql", "SELECT n::VARCHAR::INT FROM (SELECT CASE WHEN n < 9000 THEN n ELSE 'x' END n FROM range(9999) r(n))"
    )
    assert (2, True) == (told.code, "Conversion Error" in told.err)


def test_what_is_no_select_but_only_reads_is_run(synced: Place) -> None:
    """DESCRIBE, SHOW, SUMMARIZE and EXPLAIN help to find one's way."""
    for query in (
        "DESCRIBE opportunities",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "FROM stages",
        "WITH a AS (SELECT 1) FROM a",
    ):
        assert 0 == synced.run("sql", query).code, query


def test_the_warehouse_itself_is_no_place_for_an_answer(synced: Place) -> None:
    """`-o warehouse.duckdb` is a slip of the finger that would cost everything."""
    before = (synced.folder / "warehouse.duckdb").stat()
    told = synced.run("sql", "SELECT 1", "--format", "csv", "-o", str(synced.folder / "warehouse.duckdb"))
    assert (2, before) == (told.code, (synced.folder / "warehouse.duckdb").stat())


@pytest.mark.parametrize("command", [("stages",), ("people",), ("sql", "SELECT 1", "--format", "csv")])
@pytest.mark.parametrize("file", ["warehouse.duckdb", ".onepipe/work.duckdb", ".onepipe/control.sqlite"])
def test_no_command_writes_over_a_database(synced: Place, command: tuple[str, ...], file: str) -> None:
    """Whichever of ours it is: what they hold cannot be had again."""
    path = synced.folder / file
    before = path.stat()
    assert (2, before.st_ino) == (synced.run(*command, "-o", str(path)).code, path.stat().st_ino)


def test_without_a_warehouse_the_first_step_is_named(place: Place) -> None:
    """Exit code 2 and what to do."""
    told = place.run("sql", "SELECT 1")
    assert (2, True) == (told.code, "onepipe sync" in told.err)


def test_get_prints_what_a_read_answers(place: Place, crms: Sandbox) -> None:
    """As JSON; nothing is stored, not even a state folder."""
    told = place.run("get", "capsule", "by_milestone", "milestone=Bid")
    ids = {str(key) for key, record in crms["capsule"].records.items() if record["milestone"] == "Bid"}
    assert (0, ids) == (told.code, {record["id"] for record in told.json}), told.err
    assert [place.config] == list(place.folder.iterdir())


def test_get_knows_which_reads_there_are(place: Place) -> None:
    """An unknown one gets the nearest and all names; a missing or wrong word gets the usage."""
    told = place.run("get", "capsule", "by_mileston", "milestone=Bid")
    assert (2, True, True) == (told.code, "did you mean 'by_milestone'?" in told.err, "by_party" in told.err)
    assert (2, True) == ((told := place.run("get", "capsule", "by_milestone")).code, "milestone" in told.err)
    assert 2 == place.run("get", "capsule", "by_milestone", "Bid").code
    assert 2 == place.run("get", "capsul", "milestones").code
    assert 2 == place.run("get", "*", "milestones").code


def test_get_keeps_a_file_where_it_is_told_to(place: Place, crms: Sandbox) -> None:
    """A PDF does not go to the terminal: it needs -o, and arrives byte for byte."""
    crm = crms["administrate"]
    quoted = [quote["id"] for record in crm.records.values() for quote in record["quotes"]]
    words = ("get", "administrate", "render_pdf", f"quote_id={quoted[0]}")
    told = place.run(*words)
    assert (2, "", True) == (told.code, told.out, "-o FILE" in told.err)
    out = place.folder / "quote.pdf"
    assert (0, b"%PDF") == (place.run(*words, "-o", str(out)).code, out.read_bytes()[:4])
