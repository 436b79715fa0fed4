"""Promises about single records and their details, and about what a file says of itself."""

import json
import sys
from typing import Any

from onepipe.connector import Answer, Request
from onepipe.contract.bench import SINCE, SOME, Bench, Broken, Skipped, pulled, records
from onepipe.contract.spoils import always
from onepipe.errors import Gone, SourceError


def says_what_it_is(bench: Bench) -> None:
    """The file and its facts name the API, its version, what it was verified against, its credentials and settings."""
    facts, page = bench.connector.facts, sys.modules[bench.connector.__module__].__doc__ or ""
    empty = [name for name in ("title", "api", "verified", "base_url") if not getattr(facts, name)]
    silent = [name for name, sentence in facts.settings.items() if not sentence or name not in page]
    if not page.strip():
        raise Broken("the file has no docstring")
    if empty or silent or not facts.credentials:
        raise Broken(
            f"says nothing of: {', '.join([*empty, *silent, *([] if facts.credentials else ['credentials'])])}"
        )
    if facts.filter != "none" and not facts.stamp:
        raise Broken("declares a filter by time of change, but not where that time stands (Facts.stamp)")


def documents_its_reads(bench: Bench) -> None:
    """Every named read has a docstring, and those that need nothing answer JSON."""
    reads = bench.connector.reads()
    if not reads:
        raise Skipped("has no named reads")
    silent = [read.name for read in reads.values() if not read.doc]
    if silent:
        raise Broken(f"reads without a docstring: {', '.join(silent)}")
    with bench.account(SOME) as connection:
        for read in reads.values():
            if any(parameter.required for parameter in read.parameters):
                continue
            try:
                found = connection.ask(read.name, {})
            except SourceError:  # documented, but not in every account
                continue
            if not isinstance(found, Answer):
                json.loads(found) if isinstance(found, bytes) else json.dumps(found)


def describes_before_it_sends(bench: Bench) -> None:
    """Whoever writes says what is known of writing, and describes each request without sending it."""
    if bench.connector.writes is None or not bench.connector.can("update"):
        if bench.connector.actions() or any(bench.connector.can(verb) for verb in ("create", "update", "delete")):
            raise Broken("writes, but does not say what is known of it (writes), or how a record is changed (update)")
        raise Skipped("only reads")
    silent = [one.name for one in bench.connector.actions().values() if not (one.doc and one.parameters)]
    if silent:
        raise Broken(f"actions without a docstring, or without the id they act on: {', '.join(silent)}")
    with bench.account(SOME) as connection:
        record: Any = next(iter(records(pulled(connection)).values()))
        verbs: Any = connection
        made = list(verbs.update(record.id, record.payload, {}))
        made += [verbs.delete(record.id, record.payload)] if connection.can("delete") else []
        if not all(isinstance(one, Request) and one == Request.restored(one.stored()) for one in made):
            raise Broken("describes something else than requests")
        if {asked.method for asked in bench.server.asked} - {"GET", "HEAD"}:
            raise Broken("sent what it was to describe")


def reads_one_record(bench: Bench) -> None:
    """A record can be read by its id, with and without its stored payload."""
    with bench.account(SOME) as connection:
        for record in list(records(pulled(connection)).values())[:2]:
            for payload in (record.payload, None):
                if (found := connection.get(record.id, payload)).id != record.id:
                    raise Broken(f"asked for {record.id}, got {found.id}")


def says_gone(bench: Bench) -> None:
    """Reading a record that was deleted raises Gone."""
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
        bench.rig.remove(record.id)
        try:
            connection.get(record.id, record.payload)
        except Gone:
            return
    raise Broken("a deleted record was read without an error")


def never_gone_by_failure(bench: Bench, status: int) -> None:
    """A failing server does not make a record gone."""
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
    with bench.connection(always(status)) as connection:
        try:
            connection.get(record.id, record.payload)
        except SourceError:
            return
    raise Broken(f"status {status} did not raise")


def reads_details(bench: Bench) -> None:
    """Each declared detail is a JSON array, raises Gone for a deleted record, and is never empty by failure."""
    if not bench.connector.facts.details:
        raise Skipped("has no details")
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
        for name in bench.connector.facts.details:
            if not isinstance(json.loads(_detail(connection, name, record)), list):
                raise Broken(f"{name} is no JSON array")
    for name in bench.connector.facts.details:
        with bench.connection(always(503)) as connection:
            try:
                _detail(connection, name, record)
            except SourceError:
                continue
        raise Broken(f"{name}: a failing server gave an array all the same")


def _detail(connection: Any, name: str, record: Any) -> bytes:
    found: bytes = connection.detail(name, record.id, record.payload)
    return found


def tells_deletions(bench: Bench) -> None:
    """Where the CRM keeps tombstones, a deleted record has one, with its instant in the stamp."""
    if not bench.connector.can("deleted"):
        raise Skipped("has no tombstones")
    with bench.account(SOME) as connection:
        gone = bench.ids[0]
        bench.rig.remove(gone)
        deleted: Any = getattr(connection, "deleted")  # noqa: B009 - not every connector has the verb
        stones = {record.id: record.stamp for page in deleted(SINCE) for record in page.records}
    if not stones.get(gone):
        raise Broken(f"{gone} was deleted; tombstones: {stones}")
