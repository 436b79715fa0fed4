"""`--fail-on any|N|N%`: how many connections may be incomplete before a run ends as failed."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.report import RunReport

FailOn = Annotated[
    str,
    typer.Option(
        "--fail-on",
        metavar="any|N|N%",
        help="End with an exit code other than 0 only where at least N connections, or N % of them, are not complete.",
    ),
]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """From how many connections on, or from which share of those that ran (in per cent), a run counts as failed."""

    text: str = "any"
    count: int = 1
    share: float | None = None

    @classmethod
    def of(cls, text: str) -> "Tolerance":
        """What an option says. Raises UsageError."""
        found = re.fullmatch(r"([0-9]{1,9})(?:(\.[0-9]+)?(%))?", text.strip())
        if text.strip() == "any":
            return cls()
        number = float(found[1] + (found[2] or "")) if found else 0.0
        if not found or not number or (found[3] and number > 100):
            raise UsageError(f"--fail-on {text!r} is none of any, a number such as 20, and a share such as 5%")
        return cls(text.strip(), share=number) if found[3] else cls(text.strip(), count=int(number))

    def code(self, report: "RunReport") -> int:
        """The exit code of a run. What kept all of it from working, and an old snapshot, are never tolerated."""
        borne = not report.published and self.bears(_failed(report), _ran(report))
        return 0 if borne else exits.of_run(report)

    def bears(self, failed: int, ran: int) -> bool:
        """Whether so many that failed, of so many that ran, are few enough."""
        return failed != ran and not self._reached(failed, ran)

    def tell(self, report: "RunReport") -> None:
        """The last line of a report, where something is not complete and `--fail-on` was given."""
        failed, ran = _failed(report), _ran(report)
        if self.text == "any" or not failed:
            return
        share = f"{100 * failed / ran:.1f} %"
        word = "which" if self._reached(failed, ran) or failed == ran else "fewer than"
        screen.tell(
            f"{failed:,} of {screen.counted(ran, 'connection')} ({share}) {'is' if failed == 1 else 'are'} not "
            f"complete, {word} `--fail-on {self.text}` counts as failed: exit code {self.code(report)}."
        )

    def _reached(self, failed: int, ran: int) -> bool:
        if self.share is not None:
            return failed > 0 and 100 * failed >= self.share * ran
        return failed >= self.count


def _failed(report: "RunReport") -> int:
    return sum(one.status in ("failed", "partial") for one in report.connections)


def _ran(report: "RunReport") -> int:
    return sum(one.status != "skipped" for one in report.connections)
