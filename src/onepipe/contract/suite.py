"""The list of checks, and running them: one result a check, a sentence for each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import onepipe.contract.lists as lists
import onepipe.contract.singles as singles
import onepipe.contract.spoils as spoils
import onepipe.contract.trouble as trouble
from onepipe.connector import Connector
from onepipe.contract.bench import Bench, Broken, Skipped, many
from onepipe.contract.rig import Rig
from onepipe.errors import AuthRefused, RateLimited, Unavailable


@dataclass(frozen=True, slots=True)
class Check:
    """One promise every connector keeps: a short name, the sentence, and what proves it."""

    name: str
    sentence: str
    prove: Callable[[Bench], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How one check went: the promise, and for a failed or skipped one the reason."""

    name: str
    sentence: str
    outcome: Literal["passed", "failed", "skipped"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:7} {self.name}: {self.sentence}" + (f" But: {self.reason}" if self.reason else "")


def every_check(connector: type[Connector]) -> list[Check]:
    """All checks for this connector, in the order of docs/connector.md."""
    return list(_checks(connector.facts.page_size, many(connector)))


def run(connector: type[Connector], rig: Rig, only: Iterable[Check] | None = None) -> list[Result]:
    """Run the checks against the fake CRM, over HTTP on 127.0.0.1. Raises nothing for a broken promise."""
    with Bench(connector, rig) as bench:
        return [prove(check, bench) for check in (every_check(connector) if only is None else only)]


def prove(check: Check, bench: Bench) -> Result:
    """Run one check."""
    try:
        check.prove(bench)
    except Skipped as reason:
        return Result(check.name, check.sentence, "skipped", str(reason))
    except Broken as reason:
        return Result(check.name, check.sentence, "failed", str(reason))
    except Exception as error:
        return Result(check.name, check.sentence, "failed", f"{type(error).__name__}: {error}")
    return Result(check.name, check.sentence, "passed")


def score(results: list[Result]) -> str:
    """The last line of a report."""
    passed, failed = (sum(result.outcome == outcome for result in results) for outcome in ("passed", "failed"))
    return f"{passed} of {passed + failed} promises hold, {len(results) - passed - failed} do not apply"


def _checks(page: int, most: int) -> Iterator[Check]:
    yield _check(singles.says_what_it_is)
    yield _check(singles.documents_its_reads)
    yield _check(singles.describes_before_it_sends)
    yield _check(lists.counts_with_one_request)
    yield _check(lists.counts_within_a_window)
    for count in (0, 1, page - 1, page, page + 1, most):
        yield _check(lists.reads_every_row, f"{count} rows", count)
    yield _check(lists.reads_what_a_cap_leaves, "10 rows a page", 10)
    yield _check(lists.misses_no_row_beside_a_deleted_one)
    for one in (lists.reads_the_same_twice, lists.gives_whole_records, lists.goes_on_where_it_stopped):
        yield _check(one)
    for one in (lists.filters_iff_it_says_so, lists.reads_its_reference_lists, lists.only_reads):
        yield _check(one)
    for number, text in enumerate(lists.HOSTILE, start=1):
        yield _check(lists.keeps_hostile_text, f"text {number}", text)
    for one in (singles.reads_one_record, singles.says_gone, singles.reads_details, singles.tells_deletions):
        yield _check(one)
    for status in (401, 403, 429, 500, 503):
        yield _check(singles.never_gone_by_failure, str(status), status)
    yield from _misbehaviour()
    yield _check(trouble.tells_no_secret)


def _misbehaviour() -> Iterator[Check]:
    refusals = (
        *((str(status), spoils.always(status), AuthRefused) for status in (401, 403)),
        *((str(status), spoils.always(status), Unavailable) for status in (404, 500, 502, 503)),
        ("429", spoils.always(429), RateLimited),
        ("429 for an hour", spoils.always(429, headers={"Retry-After": "3600"}), RateLimited),
        ("a login page", spoils.always(200, spoils.LOGIN, spoils.HTML), AuthRefused),
        ("a login page that says it is JSON", spoils.always(200, spoils.LOGIN, spoils.JSON), AuthRefused),
        ("a maintenance page", spoils.always(200, spoils.DOWN, spoils.HTML), Unavailable),
    )
    for name, spoil, kind in refusals:
        yield _check(trouble.sorts_refusals, name, spoil, kind)
    for name, spoil in (("503", spoils.always(503)), ("cut short", spoils.cut), ("halved", spoils.halved)):
        yield _check(trouble.gets_over_a_hiccup, name, spoil)
    for name, body in spoils.NOT_DATA.items():
        yield _check(trouble.never_an_empty_page, name, spoils.always(200, body))
    for name, spoil in (("cut short", spoils.cut), ("halved", spoils.halved), ("redirected", spoils.redirected)):
        yield _check(trouble.never_an_empty_page, name, spoil)
    for name, spoil in (
        ("500", spoils.always(500)),
        ("a login page", spoils.always(200, spoils.LOGIN, spoils.HTML)),
        ("an error envelope", spoils.always(200, spoils.NOT_DATA["an error envelope"])),
        ("halved", spoils.halved),
    ):
        yield _check(trouble.fails_in_the_middle, name, spoil)
    yield _check(trouble.notices_loops, "a page for ever", spoils.frozen)
    yield _check(trouble.notices_loops, "two pages in turn", spoils.cycle)


def _check(promise: Callable[..., None], case: str = "", *given: object) -> Check:
    name = promise.__name__ + (f"[{case}]" if case else "")
    return Check(name, (promise.__doc__ or "").strip(), lambda bench: promise(bench, *given))
