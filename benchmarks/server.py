"""A Tactile account on loopback that answers faster than anybody asks: the records are made before it starts.

    python benchmarks/server.py --rows 100000        prints its port, then serves until it is ended

Records of about 1 KB, pages of up to 100, the envelope and the filter `updated_after` of Tactile's own list. What
stands before the path chooses: `/rows/10000/ms/100/opportunities` is a list of the first 10,000 records, each
answer of which takes 100 ms. `/rows/10000/change?records=1000` gives 1,000 of those, evenly spread, a new stamp and
cost; `/reset` takes all changes back. `/fail/5/opportunities` fails on 5 of 100 requests. Row counts are multiples
of 100, or fewer than 100. `/account/7/rows/50/touch` changes one record of that account alone. There is no `list_all`,
as in early accounts: such a path answers Tactile's HTML login page.
"""

import argparse
import asyncio
import json
import random
import time
from contextlib import suppress
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

PAGE = 100
WRITTEN = 1_000  # bytes of a record, about
LOGIN = b"<!DOCTYPE html><html><head><title>Tactile CRM: login</title></head><body>Please log in.</body></html>"
WORDS = ["price", "partner", "rollout", "licence", "renewal", "training", "site", "visit", "budget", "board", "review"]
STATUSES = {"1": "Prospect", "2": "Qualified", "3": "Proposal", "4": "Negotiation"}
OPTIONS = {"assigned_to": {"paul": "paul", "greg": "greg"}, "status": STATUSES, "type": {}, "source": {"1": "Web"}}


def stamp(moment: float) -> str:
    """Seconds since 1970 as the list writes them."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(moment))


class Records:
    """All records as whole pages of bytes; `rows` is a multiple of 100. Changes are kept apart, to be taken back."""

    def __init__(self, rows: int, seed: int = 7) -> None:
        chance = random.Random(seed)
        self.rows = rows
        self.now = time.time()
        self.texts = [" ".join(chance.choices(WORDS, k=200)) for _ in range(997)]
        self.changed: dict[int, tuple[str, bytes]] = {}
        self.originals = [b",".join(self.one(at + place) for place in range(PAGE)) for at in range(0, rows, PAGE)]
        self.pages = list(self.originals)

    def record(self, place: int, changed: float | None) -> bytes:
        """One record, by place from 0; `changed` is when it was changed during this benchmark."""
        number = place * 7_919 % 1_000_003
        status = STATUSES[str(number % 4 + 1)]
        # The oldest is two years old, the newest a day: the window of a changed-since run holds none of them.
        age = 86_400 + 63_072_000 * (1 - place / self.rows)
        fields = {
            "id": 1_000_000 + place,
            "name": f"Opportunity {place:07} {self.texts[number % 997][:24]}",
            "description": "",
            "cost": number + (0.5 if changed is None else 0.25),
            "probability": number % 21 * 5,
            "organisation_id": number % 4_001,
            "organisation": f"Organisation {number % 4_001}",
            "person_id": number % 9_001,
            "person": f"Person {number % 9_001}",
            "owner": "paul",
            "assigned_to": "greg" if number % 3 else "paul",
            "alteredby": "paul",
            "archived": False,
            "status": status,
            "type": None,
            "source": "Web" if number % 2 else None,
            "created": stamp(self.now - age - 86_400),
            "lastupdated": stamp(self.now - age if changed is None else changed),
            "enddate": stamp(self.now + number % 200 * 86_400)[:10],
            "tags": WORDS[number % 9 : number % 9 + 2],
        }
        missing = WRITTEN - len(json.dumps(fields, separators=(",", ":")))
        fields["description"] = self.texts[number % 991][:missing]
        return json.dumps(fields, separators=(",", ":")).encode()

    def one(self, place: int) -> bytes:
        """One record as it stands."""
        return self.changed[place][1] if place in self.changed else self.record(place, None)

    def change(self, rows: int, count: int) -> None:
        """Change `count` records, evenly spread over the first `rows`."""
        moment = time.time()
        places = range(0, rows, max(1, rows // count))
        self.changed |= {place: (stamp(moment)[:19], self.record(place, moment)) for place in places}
        for at in {place // PAGE for place in places}:
            self.pages[at] = b",".join(self.one(at * PAGE + place) for place in range(PAGE))

    def reset(self) -> None:
        """Take all changes back."""
        self.changed.clear()
        self.pages = list(self.originals)

    def page(self, rows: int, number: int, size: int) -> bytes:
        """The records of one page, with commas between."""
        first = (number - 1) * size
        if size == PAGE:
            return self.pages[number - 1] if first < rows else b""
        return b",".join(self.one(place) for place in range(first, min(rows, first + size)))


class Account:
    """What is answered: a path and query in, a body out."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.chance = random.Random(11)
        self.touched: dict[int, dict[int, tuple[str, bytes]]] = {}  # of single accounts: place, stamp and record

    def answer(self, target: str) -> tuple[bytes | None, str, float]:
        """The body, its content type, and the seconds to wait before it is sent; None where the request fails."""
        asked = urlsplit(target)
        steps = asked.path.strip("/").split("/")
        query = dict(parse_qsl(asked.query))
        chosen: dict[str, int] = {}
        while len(steps) > 1 and steps[0] in ("account", "rows", "ms", "fail"):
            chosen[steps[0]] = int(steps[1])
            steps = steps[2:]
        if self.chance.random() * 100 < chosen.get("fail", 0):
            return None, "text/plain", chosen.get("ms", 0) / 1000
        rows = min(chosen.get("rows", self.records.rows), self.records.rows)
        own = chosen.get("account", -1)
        if steps == ["touch"]:
            place, moment = self.chance.randrange(rows), time.time()
            self.touched.setdefault(own, {})[place] = stamp(moment)[:19], self.records.record(place, moment)
            return b"{}", "application/json", 0.0
        body, kind = self._body("/".join(steps), query, rows, self.touched.get(own, {})), "application/json"
        return (LOGIN, "text/html", 0.0) if body is None else (body, kind, chosen.get("ms", 0) / 1000)

    def _body(self, path: str, query: dict[str, str], rows: int, touched: dict[int, tuple[str, bytes]]) -> bytes | None:
        if path == "opportunities":
            return self._list(query, rows, touched)
        if path == "opportunities/options":
            return json.dumps({"status": "success", "opportunity_options": OPTIONS}).encode()
        if path == "change":
            self.records.change(rows, int(query["records"]))
            return b"{}"
        if path == "reset":
            self.records.reset()
            return b"{}"
        return None

    def _list(self, query: dict[str, str], rows: int, touched: dict[int, tuple[str, bytes]]) -> bytes:
        size, number = int(query.get("limit", 30)), int(query.get("page", 1))
        size = size if 1 <= size <= PAGE else 30
        since = query.get("updated_after", "")[:19]
        if since > stamp(self.records.now - 80_000):  # later than every original: only what was changed can match
            changed = self.records.changed | touched
            found = [text for at, (when, text) in changed.items() if at < rows and when > since]
            inside, rows = b",".join(found[(number - 1) * size : number * size]), len(found)
        elif rows < PAGE:
            places = range((number - 1) * size, min(rows, number * size))
            inside = b",".join(touched[at][1] if at in touched else self.records.one(at) for at in places)
        else:
            inside = self.records.page(rows, number, size)
        counters = b'],"cur_page":%d,"num_pages":%d,"per_page":%d,"total":%d}' % (number, -(-rows // size), size, rows)
        return b'{"status":"success", "opportunities":[' + inside + counters


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept open; requests have no body and come one at a time."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.unread += data
        head, end, rest = self.unread.partition(b"\r\n\r\n")
        if not end:
            return
        self.unread = rest
        body, kind, wait = self.account.answer(head.split(b" ", 2)[1].decode())
        status = "200 OK" if body is not None else "503 Service Unavailable"
        body = body or b""
        lines = f"HTTP/1.1 {status}\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: {kind}\r\n"
        answer = f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        if wait:
            asyncio.get_running_loop().call_later(wait, self.transport.write, answer)
        else:
            self.transport.write(answer)


async def serve(rows: int, port: int) -> None:
    """Serve until ended; the first line printed is the port."""
    account = Account(Records(rows))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(account), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(ImportError):
        import uvloop  # type: ignore[import-not-found]

        uvloop.install()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--port", type=int, default=0)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(**vars(parser.parse_args())))
