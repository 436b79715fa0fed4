"""Looking for words in every file below a folder: in its bytes, however they are written, and in what it unpacks to."""

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import duckdb

_WRITTEN_BY_PEOPLE = ("config.yaml",)


def traces(folder: Path, words: Sequence[str]) -> list[str]:
    """Which word stands in which file, and how."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        if path.name in _WRITTEN_BY_PEOPLE:
            continue
        found += [f"{path.relative_to(folder)}: {told}" for told in _in_file(path, words)]
    return found


def _in_file(path: Path, words: Sequence[str]) -> Iterator[str]:
    raw = path.read_bytes()
    for word in words:
        yield from (f"{word!r} {how}" for how, form in _forms(word) if form in raw)
    if raw[:4] == b"PK\x03\x04":
        with TemporaryDirectory() as place:
            zipfile.ZipFile(path).extractall(place)
            yield from traces(Path(place), words)
    elif raw[:15] == b"SQLite format 3":
        yield from _in_text(_of_sqlite(path), words, "as a row")
    elif raw[8:12] == b"DUCK":
        yield from _in_text(_of_duckdb(path), words, "as a row")


def _in_text(rows: Iterator[tuple[str, str]], words: Sequence[str], how: str) -> Iterator[str]:
    for table, text in rows:
        yield from (f"{word!r} {how} of {table}" for word in words if word.casefold() in text.casefold())


def _forms(word: str) -> Iterator[tuple[str, bytes]]:
    for one in {word, word.casefold(), word.upper()}:
        yield "in UTF-8", one.encode()
        yield "in UTF-16", one.encode("utf-16-le")
        yield "in UTF-16, big", one.encode("utf-16-be")
        yield "escaped as in JSON", json.dumps(one)[1:-1].encode()
        yield "escaped as in URLs", quote(one, safe="").encode()


def _of_sqlite(path: Path) -> Iterator[tuple[str, str]]:
    with TemporaryDirectory() as place:
        for one in path.parent.glob(f"{path.name}*"):
            shutil.copyfile(one, Path(place) / one.name)
        with closing(sqlite3.connect(Path(place) / path.name)) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in db.execute(f'SELECT * FROM "{table}"'):
                    yield table, " ".join(str(one) for one in row)


def _of_duckdb(path: Path) -> Iterator[tuple[str, str]]:
    with TemporaryDirectory() as place:
        copy = Path(place) / "copy.duckdb"
        shutil.copyfile(path, copy)
        with closing(duckdb.connect(str(copy), read_only=True)) as db:
            tables = db.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
            for schema, table in tables:
                for (row,) in db.execute(f'SELECT CAST(t AS VARCHAR) FROM "{schema}"."{table}" t').fetchall():
                    yield f"{schema}.{table}", row
