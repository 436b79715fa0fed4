"""Edits as people write them: words, CSV, Parquet, SQL."""

from pathlib import Path

import duckdb
import pytest

from onepipe.edit import Row, from_file, from_query, from_words
from onepipe.errors import UsageError
from tests.edit.conftest import Queue

HEAD = "connection,source_id,field,value"


def csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "edits.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_words_are_fields_and_values(tmp_path: Path) -> None:
    """A value may hold anything, `=` too; line items may stand in a file."""
    (tmp_path / "items.json").write_text('[{"name": "Nut"}]')
    words = ["name=a=b", "description= two\nlines ", f"line_items=@{tmp_path / 'items.json'}"]
    rows = from_words("acme", "43", words, ["owner"], "why")
    assert ["a=b", " two\nlines ", '[{"name": "Nut"}]', ""] == [row.text for row in rows]
    assert ["name", "description", "line_items", "owner"] == [row.field for row in rows]
    assert ([False] * 3 + [True], {"why"}) == ([row.clear for row in rows], {row.reason for row in rows})
    for word in ("amount", "=5", "line_items=@nowhere.json"):
        with pytest.raises(UsageError, match="nothing was queued"):
            from_words("acme", "43", [word], [], "")


def test_a_csv_file_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """With a byte order mark, semicolons, headings in any case, cells of several lines; each row knows its line."""
    head = "\ufeffConnection;Source_ID;field;value;op;reason"
    text = "\r\n".join([head, 'acme;43;name;"two\r\nlines";;', ";;;;;", "acme;44;tags;;CLEAR;x", ""])
    one, two = from_file(csv(tmp_path, text), "why")
    assert (":2", "acme", "43", "name", "two\r\nlines", False, "why") == (
        *(one.place[-2:], one.connection, one.source_id, one.field, one.text, one.clear, one.reason),
    )
    assert (":5", "44", "tags", True, "x") == (two.place[-2:], two.source_id, two.field, two.clear, two.reason)


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    """Rows that cannot be edits at all are kept with what is wrong, to be told with the faults of all the others."""
    lines = [
        HEAD + ",op",
        "acme,43,amount,1,set,more",
        "acme,,amount,1,",
        "acme,43,amount,1,put",
        "acme,43,amount,1,clear",
    ]
    rows = from_file(csv(tmp_path, "\n".join(lines)), "")
    said = [row.fault(row.wrong) for row in rows]
    assert [True] * 4 == [f"edits.csv:{n}: " in line for n, line in zip((2, 3, 4, 5), said, strict=True)]
    parts = ("6 cells", "source_id is missing", "op is 'put'", "there is a value")
    assert [True] * 4 == [part in line for part, line in zip(parts, said, strict=True)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the column 'connection' is missing"),
        (HEAD + ",why", "there is no column 'why'; known: connection"),
        (HEAD + ",opp", "did you mean 'op'?"),
        (HEAD + ",value", "stands there twice"),
        (HEAD + '\nacme,43,name,"open', "this is no CSV"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, part: str) -> None:
    """What is wrong with its headings or its form is said."""
    with pytest.raises(UsageError, match="nothing was queued") as told:
        from_file(csv(tmp_path, text), "")
    assert part in told.value.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Not there, not UTF-8, not Parquet."""
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    for path in (tmp_path / "x.csv", tmp_path / "x.parquet", tmp_path / "no.parquet", csv(tmp_path, "ä", "latin-1")):
        with pytest.raises(UsageError):
            from_file(path, "")


def test_parquet_values_are_exact(tmp_path: Path) -> None:
    """A number keeps all its digits, a day is a day, NULL is empty."""
    path = tmp_path / "edits.parquet"
    duckdb.sql(
        f"""COPY (SELECT 'acme' AS connection, unnest([43, 44, 45]) AS source_id, 'amount' AS field,
        unnest([12345678901234.5678::DECIMAL(18,4), 1.10, NULL]) AS value) TO '{path}'"""
    )
    rows = from_file(path, "")
    assert ["12345678901234.5678", "1.1000", ""] == [row.text for row in rows]
    assert ["43", "44", "45"] == [row.source_id for row in rows]
    assert rows[0].place.endswith("edits.parquet, row 1")


def test_a_query_answers_with_rows(desk: Queue) -> None:
    """It runs on the published warehouse, read-only, and answers with the columns of a file."""
    sql = "SELECT connection, source_id, 'expected_close_date' AS field, DATE '2026-01-31' AS value FROM deals"
    rows = from_query(f"{sql} ORDER BY ALL LIMIT 2", desk.config.warehouse, "why")
    assert [("row 1", "2026-01-31", "why"), ("row 2", "2026-01-31", "why")] == [
        (row.place, row.text, row.reason) for row in rows
    ]
    assert isinstance(rows[0], Row)
    for wrong in ("SELECT 1 AS connection", "DELETE FROM stages", "SELECT nothing", f"{sql}; {sql}"):
        with pytest.raises(UsageError):
            from_query(wrong, desk.config.warehouse, "")
