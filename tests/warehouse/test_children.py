"""What belongs to a deal, as tables: the worked example of docs/warehouse.md, and files of an older onepipe."""

import re
from contextlib import nullcontext
from pathlib import Path

from onepipe.model import CHILDREN, NESTED
from onepipe.warehouse import layout
from onepipe.warehouse.database import Database, Engine
from onepipe.warehouse.schema import SCHEMA_VERSION
from onepipe.warehouse.work import Warehouse
from tests.warehouse.test_example import PAGE, cells

SECTION = PAGE.partition("\n## Children\n")[2].partition("\n## ")[0]
EXAMPLE = SECTION.partition("\nTwo versions of a deal")[2]


def put(db: Database, told: str) -> None:
    """The versions of the example's deal; the last one is current."""
    rows = cells(told)
    ends = [f"'{since}:00+00'" for _, since, _ in rows[1:]]
    for (version, since, lines), until in zip(rows, [*ends, None], strict=True):
        items = ", ".join(_item(line) for line in lines.split("; "))
        table, names, values = ("closed", ", valid_to", f", {until}") if until else ("current", "", "")
        db.run(
            f"INSERT INTO store.{table} (connection, source_id, is_deleted, version, valid_from, line_items{names}) "
            f"VALUES ('acme', 'd1', false, {version}, '{since}:00+00', [{items}]{values})"
        )


def _item(line: str) -> str:
    """`2 Travel: 1 x 80` as a struct."""
    (place, name, quantity, price) = re.findall(r"(\d+) (.+): (\d+) x (\d+)", line)[0]
    amount = int(quantity) * int(price)
    return (
        f"{{'position': {place}, 'item_id': 'i{place}', 'name': '{name}', 'quantity': {quantity}, "
        f"'unit_amount': {price}, 'amount': {amount}, 'description': NULL}}"
    )


def test_the_example_of_children_shows_what_its_queries_answer(tmp_path: Path) -> None:
    """Each query below the example's deal answers with the table below it."""
    (told,) = re.findall(r"((?:^\|.*\n)+)", EXAMPLE, re.MULTILINE)[:1]
    shown = re.findall(r"```sql\n((?s:.*?));\n```\n\n((?:^\|.*\n)+)", EXAMPLE, re.MULTILINE)
    assert 2 == len(shown)
    with Engine().writing(tmp_path / "work.duckdb") as db:
        layout.create(db, "test")
        layout.dress(db)
        put(db, told)
        for query, table in shown:
            answers = db.run(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})")
            assert cells(table) == [["" if value is None else value for value in row] for row in answers], query


def test_a_deal_without_children_has_no_row(tmp_path: Path) -> None:
    """Neither an empty list nor one that nobody asked for gives a row, in any of the tables."""
    with Engine().writing(tmp_path / "work.duckdb") as db:
        layout.create(db, "test")
        layout.dress(db)
        for value in ("NULL", "[]"):
            lists = ", ".join(f"{value}::{column.type}" for column in NESTED)
            for table in ("current", "closed"):
                db.run(f"INSERT INTO store.{table} (connection, {', '.join(CHILDREN)}) SELECT 'acme', {lists}")
        for name in CHILDREN:
            assert [(0,)] == db.run(f"SELECT count(*) FROM {name}")
            assert [(0,)] == db.run(f"SELECT count(*) FROM {name.removesuffix('s')}_history")


def test_comments_outlive_views_that_are_made_anew(tmp_path: Path) -> None:
    """As when a column's type is changed and changed back before the next snapshot."""
    with Engine().writing(tmp_path / "work.duckdb") as db:
        layout.create(db, "test")
        layout.dress(db)
        layout.create_records(db)
        layout.dress(db)
        lacking = "SELECT table_name, column_name FROM duckdb_columns() WHERE table_name = 'opportunities'"
        assert [] == db.run(f"{lacking} AND comment IS NULL")


def test_an_older_file_gains_the_lists(tmp_path: Path) -> None:
    """A file without them, with a column that a mapping added, has them at the end, NULL; its rows stay."""
    work = Warehouse(tmp_path, lock=nullcontext)
    with work.opened() as db:
        layout.dress(db)
        for name in [*CHILDREN, *(f"{name.removesuffix('s')}_history" for name in CHILDREN), "field_changes"]:
            db.run(f"DROP VIEW {name}")
        for table in ("current", "closed"):
            for name in CHILDREN:
                db.run(f"ALTER TABLE store.{table} DROP COLUMN {name}")
            db.run(f"ALTER TABLE store.{table} ADD COLUMN x_arr DECIMAL(18,4)")
        db.run("INSERT INTO store.current (connection, source_id, version, x_arr) VALUES ('acme', '1', 1, 7)")
        db.run("UPDATE store.meta SET schema_version = ?", [SCHEMA_VERSION - 1])
    with work.opened() as db:
        names = [row[0] for row in db.run("DESCRIBE store.current")]
        assert ["x_arr", *CHILDREN] == names[-6:]
        assert [("1", 7, None)] == db.run("SELECT source_id, x_arr, line_items FROM store.current")
        layout.dress(db)
        assert [(0,)] == db.run("SELECT count(*) FROM line_item_history")
