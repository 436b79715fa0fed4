"""The published tables as sources of a dbt project: columns and their texts, tests, and how fresh the file has to be.

Tests need no package: a key of several columns is tested as one text, which dbt's own tests take for a column.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from onepipe.config import Config
from onepipe.errors import UsageError
from onepipe.model import CHILDREN, STATUSES
from onepipe.warehouse import catalog
from onepipe.warehouse.catalog import Table
from onepipe.warehouse.work import published

DATABASE = "onepipe"  # what the published file is called where dbt attaches it
MARK = "# Written by `onepipe docs dbt`"
A_DAY = 26  # hours: one run a day, and two hours late
_STALEST = (  # dbt takes the maximum of a column; what counts is the connection that lags behind most
    f"(SELECT min(complete_through) FROM {DATABASE}.main.freshness WHERE state = 'active' AND resource = 'opportunity')"
)
_KEYS = {
    "opportunity_history": ("connection", "source_id", "version"),
    "stages": ("connection", "pipeline_id", "stage_id"),
    "connections": ("connection",),
    "tags": ("connection", "source_id", "tag"),
    **dict.fromkeys(("opportunities", "deals", "open_deals"), ("connection", "source_id")),
    **dict.fromkeys(CHILDREN, ("connection", "source_id", "position")),
}
_OF_A_DEAL = (*CHILDREN, "tags", "opportunity_history", "field_changes")
_TITLES = {
    "main": ("onepipe", "What the CRMs hold, as onepipe read it; docs/warehouse.md explains every table"),
    "raw": ("onepipe_raw", "Everything the CRMs ever answered"),
    "user": ("onepipe_user", "Your own views, from views/*.sql"),
}
_STYLE: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
_PROFILE = """{mark}: what a profile needs that reads the published file.
onepipe:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: models.duckdb        # where dbt keeps what it makes; never the published file
      attach:
        - path: {path}
          alias: {database}
          read_only: true
"""


def write(config: Config, folder: Path) -> list[Path]:
    """Write sources.yml and profiles.yml into a folder; their paths.

    Raises ConfigError where nothing is published, UsageError for files of these names that are not ours.
    """
    with published(config.warehouse) as db:
        told = sources(catalog.tables(db), _hours(config))
    quoted = yaml.safe_dump(str(config.warehouse), allow_unicode=True, width=10_000).splitlines()[0]
    texts = {
        "sources.yml": f"{MARK}; made anew each time.\n" + yaml.safe_dump(told, **_STYLE),
        "profiles.yml": _PROFILE.format(mark=MARK, path=quoted, database=DATABASE),
    }
    for name in texts:
        if (folder / name).exists() and not (folder / name).read_text("utf-8", "replace").startswith(MARK):
            raise UsageError(f"{folder / name} is not ours and stays as it is; nothing was written", "name another DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / f".{name}.part").write_text(text, encoding="utf-8")
            (folder / f".{name}.part").replace(folder / name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in texts]


def _hours(config: Config) -> int:
    """So many hours old the file may be: twice the longest interval, or a day where that is not written."""
    every = [
        one.schedule.every if "schedule" in one.model_fields_set else None
        for one in config.connections.values()
        if one.enabled
    ]
    known = [one for one in every if one]
    return max(1, ceil(2 * max(known) / timedelta(hours=1))) if known and len(known) == len(every) else A_DAY


def sources(tables: Sequence[Table], hours: int) -> dict[str, Any]:
    """The content of sources.yml. `hours`: older than that is a warning, three times as old an error."""
    return {
        "version": 2,
        "sources": [
            {
                "name": name,
                "description": about,
                "database": DATABASE,
                "schema": schema,
                "tables": [_table(table, hours) for table in tables if table.schema == schema],
            }
            for schema, (name, about) in _TITLES.items()
            if any(table.schema == schema for table in tables)
        ],
    }


def _table(table: Table, hours: int) -> dict[str, Any]:
    told: dict[str, Any] = {"name": table.name, "description": table.comment}
    field = "published_at" if table.word == "about" else _STALEST if table.word == "opportunities" else None
    if field:
        told["config"] = {
            "loaded_at_field": field,
            "freshness": {
                "warn_after": {"count": hours, "period": "hour"},
                "error_after": {"count": 3 * hours, "period": "hour"},
            },
        }
    tests = [*_tests(table)]
    if tests:
        told["data_tests"] = tests
    told["columns"] = [
        {"name": one.name, "description": one.meaning, "data_type": one.type} | _column_tests(table, one.name)
        for one in table.columns
    ]
    return told


def _column_tests(table: Table, name: str) -> dict[str, Any]:
    tests: list[Any] = []
    if table.schema == "main" and name in _KEYS.get(table.name, ()) and name != "pipeline_id":
        tests.append("not_null")
    if table.word in ("opportunities", "opportunity_history", "stages") and name == "status":
        tests.append({"accepted_values": {"arguments": {"values": [*STATUSES]}}})
    return {"data_tests": tests} if tests else {}


def _tests(table: Table) -> Iterator[dict[str, Any]]:
    """Of the table: its key, and that what belongs to a deal has one."""
    if table.schema != "main":
        return
    if key := _KEYS.get(table.name):
        yield {"unique": {"name": f"unique_key_of_{table.name}", "column_name": _one_text(key)}}
    if table.name in _OF_A_DEAL:
        deal = _one_text(("connection", "source_id"))
        to = {"to": f"source('{_TITLES['main'][0]}', 'opportunities')", "field": deal}
        name = f"{table.name}_belong_to_a_deal"
        yield {"relationships": {"name": name, "column_name": deal, "arguments": to}}


def _one_text(columns: Sequence[str]) -> str:
    """SQL: some columns as one text; a connection's name holds no blank, so that no two keys become alike."""
    return " || ' ' || ".join(f"coalesce({name}::varchar, '')" for name in columns)
