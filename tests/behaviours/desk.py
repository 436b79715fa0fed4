"""A project with one account in the sandbox, whose clock a test holds, and whose waits take no time."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

from onepipe.project import Project
from onepipe.report import RunReport
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from tests.engine.conftest import Shop, error, resource

CRMS = ("administrate", "tactile", "capsule", "onautomate", "overplane")
FILTERING = ("administrate", "tactile", "capsule")  # those that can be asked for what changed
STATING = ("administrate", "tactile", "onautomate", "overplane")  # those whose lists say how many rows they hold
NEWEST_FIRST = ("onautomate", "overplane")
TITLE = {"overplane": "title"}
STAMP = {"administrate": "updated_at", "tactile": "lastupdated", "capsule": "updatedOn", "onautomate": "updatedAt"}
AMOUNT = {"tactile": "cost", "capsule": "value", "onautomate": "monetaryValue", "overplane": "opportunity_amount"}


class Hurry(Event):
    """The `stop` of a run: `waits` are the seconds it would have slept, none of which pass."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        self.waits.append(timeout or 0.0)
        return self.is_set()


class Desk(Shop):
    """One account of one CRM, `crm`, named after it; `now` is the CRM's clock, which stands until it is moved."""

    def __init__(self, folder: Path, sandbox: Sandbox, name: str, details: bool = False) -> None:
        super().__init__(folder, sandbox, [name])
        self.name = name
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.crm = sandbox[name]
        self.crm.clock = lambda: self.now
        self.hurry = Hurry()
        self.title = TITLE.get(name, "name")
        self.stamp = STAMP.get(name, "updated_at")
        if not details and name in ("tactile", "capsule", "overplane"):
            self.connections[name]["settings"] = {"details": False}

    def fill(self, rows: int) -> list[Any]:
        """Deals "Deal 01", "Deal 02", ... made a minute apart until an hour ago; their ids in the list's order."""
        with self.crm.lock:
            self.crm.rows.clear()
            self.crm.touched()
            now, ids = self.now, []
            for number in range(1, rows + 1):
                self.now = now - timedelta(hours=1, minutes=rows - number)
                ids.append(self.insert(f"Deal {number:02}"))
            self.now = now
        return ids[::-1] if self.name in NEWEST_FIRST else ids

    def insert(self, name: str, **fields: Any) -> Any:
        """A new deal; its id."""
        return self.crm.insert(**{self.title: name}, **fields)

    def rename(self, row_id: Any, name: str, **how: Any) -> None:
        """What most tests change of a deal."""
        self.crm.update(row_id, **{self.title: name}, **how)

    def later(self, **span: float) -> None:
        """Let the CRM's clock go on."""
        self.now += timedelta(**span)

    def sync(self, *words: str, publishing: bool = False, **options: Any) -> RunReport:
        """One run, as the command does it, without waiting between tries."""
        self.hurry = Hurry()
        with Project(self.config, "test") as project:
            return sync(project, words, Options(**options), self.notes, publishing=publishing, stop=self.hurry)

    def line(self, report: RunReport) -> dict[str, Any]:
        """The opportunity's line of the report."""
        return resource(report, self.name)

    def said(self, report: RunReport) -> tuple[str, str | None]:
        """The run's status and the kind of its error."""
        return report.status, error(report, self.name).get("kind")

    def told(self, report: RunReport) -> str:
        """All that the report says of what went wrong."""
        return json.dumps(error(report, self.name), ensure_ascii=False)

    def held(self) -> dict[str, str]:
        """Names of the live deals in the warehouse, by id."""
        return dict(self.work("SELECT source_id, name FROM opportunities WHERE NOT is_deleted"))

    def truth(self) -> dict[str, str]:
        """Names of the deals in the CRM, by id."""
        return {str(key): row[self.title] for key, row in self.crm.records.items()}

    def cursor(self) -> datetime | None:
        """Up to where everything is loaded, by the warehouse's word."""
        return self.moment("complete_through")

    def moment(self, column: str) -> datetime | None:
        """An instant of the account's coverage."""
        ((text,),) = self.work(f"SELECT strftime({column}, '%Y-%m-%dT%H:%M:%S+00:00') FROM coverage {OF_DEALS}")
        return datetime.fromisoformat(text) if text else None

    def asked(self, since: int = 0) -> list[dict[str, str]]:
        """The queries of the list requests from the `since`-th request on."""
        paths = ("/opportunities", "/opportunity")
        return [seen.query for seen in self.crm.log[since:] if seen.path.rstrip("/").endswith(paths)]

    def spoil(self, kind: str, **how: Any) -> Any:
        """A fault in the pages of a scan, which ask for 100 rows; what only counts asks for one."""
        limit = "_limit" if self.name == "administrate" else "limit"
        return self.crm.faults.add(kind, lists=True, query={limit: "100"}, **how)

    def between(self, call: Callable[[], Any], page: int = 2) -> None:
        """Do something just before that page of the next scan is answered."""
        self.spoil("hook", call=call, nth=page)

    def rewrite(self, edit: Callable[[bytes], bytes], count: int | None = None, **how: Any) -> Any:
        """Give the pages of a scan another body."""
        return self.spoil("rewrite", edit=edit, count=count, **how)


OF_DEALS = "WHERE resource = 'opportunity'"


def rows_of(body: bytes, change: Callable[[list[Any]], list[Any]]) -> bytes:
    """A JSON list answer with other rows under the same counters."""
    whole = json.loads(body, parse_float=Decimal)
    if isinstance(whole, list):
        return dumped(change(whole))
    path = "data" if "data" in whole else "opportunities"
    return dumped({**whole, path: change(whole[path])})


def counting(body: bytes, total: int) -> bytes:
    """A JSON list answer that states another total."""
    return re.sub(rb'"total": ?\d+', b'"total":%d' % total, body)


def dumped(value: Any) -> bytes:
    """JSON with every digit of a Decimal."""
    marks: list[str] = []

    def exact(number: Any) -> str:
        marks.append(str(number))
        return f"\x00{len(marks) - 1}\x00"

    text = json.dumps(value, default=exact, ensure_ascii=False)
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: marks[int(match[1])], text).encode()
