"""A story made of one number: which CRM, how it behaves, what people, the network and the machine do to some runs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from tests.simulation.edits import KINDS
from tests.simulation.steps import STEPS, WRITES

CRMS = ("administrate", "tactile", "capsule", "onautomate", "overplane")
BEGINNINGS = (
    datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    datetime(2025, 10, 26, 0, 20, tzinfo=UTC),  # London's clocks go back at 01:00
    datetime(2026, 3, 29, 0, 50, tzinfo=UTC),  # and forward at 01:00
    datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC),
)
ERRORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"status": 500}),
    ("status", {"status": 503, "retry_after": 7}),
    ("status", {"status": 429}),
    ("status", {"status": 429, "retry_after": 20}),
    ("status", {"status": 429, "retry_after": "+30"}),
    ("status", {"status": 429, "retry_after": 3600}),
    ("truncated", {}),
    ("short_body", {}),
    ("reset", {}),
    ("html", {}),
    ("login_page", {}),
    ("refused_200", {}),
    ("error_envelope", {}),
    ("wrong_shape", {"shape": "missing"}),
    ("wrong_shape", {"shape": "object"}),
    ("wrong_shape", {"shape": "null"}),
    ("wrong_shape", {"shape": "list"}),
)
ODDITIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("empty_page", {}),
    ("repeat_page", {}),
    ("cycle", {}),
    ("limit_cap", {"cap": 2}),
    ("ignore_filter", {}),
    ("ignore_order", {}),
    ("gzip", {}),
    ("bom", {}),
    ("latin1", {}),
    ("headers", {"headers": {"X-Pagination-Total": "3"}}),
    ("headers", {"headers": {"X-Pagination-Total": None, "X-Pagination-Pages": None}}),
    ("headers", {"headers": {"Date": None}}),
    ("headers", {"headers": {"Date": "Mon, 99 Foo 2026"}}),
)


@dataclass
class Act:
    """One run: how long after the one before, what is edited before it and between two of its requests, what fails."""

    pause: float = 1.0
    before: list[str] = field(default_factory=list)
    during: dict[int, list[str]] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    crash: tuple[str, int] | None = None
    full: tuple[str, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    publishing: bool = False

    def __str__(self) -> str:
        parts = [f"{self.pause:.0f}s later"]
        parts += [f"{self.before}"] if self.before else []
        parts += [f"before request {number}: {kinds}" for number, kinds in sorted(self.during.items())]
        parts += [str(fault) for fault in self.faults]
        parts += [f"crash {self.crash[0]}, time {self.crash[1]}"] if self.crash else []
        parts += [f"the disk is full when {self.full[0]}, time {self.full[1]}"] if self.full else []
        parts += [str(self.options)] if self.options else []
        return "; ".join(parts)


@dataclass
class Story:
    """Everything about one seed that is decided before anything happens."""

    seed: int
    crm: str
    rows: int
    begins: datetime = BEGINNINGS[0]
    skew: float = 0.0
    ahead: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.crm}, {self.rows} rows, {self.options}, {self.settings}, "
        head += f"from {self.begins:%Y-%m-%d %H:%M}, our clock {self.skew:+.0f} s, ahead {self.ahead}"
        return "\n".join([head, *(f"  {number}. {act}" for number, act in enumerate(self.acts, start=1))])


def story(seed: int) -> Story:
    """The story of a seed; the same one always."""
    random = Random(seed)
    crm = CRMS[seed % len(CRMS)]
    told = Story(
        seed=seed,
        crm=crm,
        rows=random.randint(8, 26),
        begins=random.choice(BEGINNINGS),
        skew=random.choice((0, 0, 0, 3, -3, 45, -45, 600, -600)),
        ahead=random.random() < 0.2,
        options=_options(crm, random),
        settings={"overlap": "10m"} if random.random() < 0.1 else {},
    )
    told.acts = [_act(random, first=number == 0) for number in range(random.choice((1, 1, 2)))]
    return told


def _options(crm: str, random: Random) -> dict[str, Any]:
    options: dict[str, Any] = {"limit_cap": random.choice((3, 4, 5, 7, None))}
    if random.random() < 0.15:
        options["date_skew_seconds"] = random.choice((-40, 40))
    for name, values in OPTIONS[crm].items():
        if random.random() < 0.5:
            options[name] = random.choice(values)
    return options


OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "administrate": {"unknown_filter": ("ignore", "reject")},
    "tactile": {"era": ("doc", "head"), "tie_seed": (1, 2)},
    "capsule": {
        "lastmodified": ("strict", "inclusive"),
        "order": ("id", "key", "shuffled"),
        "deleted": (True, False),
        "extra_elements": (True, False),
    },
    "onautomate": {
        "next_page_url": ("always", "until_end"),
        "cursor_id": ("contact", "opportunity"),
        "missing_status": (400, 404),
        "contact_edit_bumps": (True, False),
        "index_lag_seconds": (0, 5),
    },
    "overplane": {"timestamps": ("clean", "spaced", "mixed"), "shuffle_ties": (True, False)},
}


def _act(random: Random, *, first: bool) -> Act:
    crash = _crash(random) if random.random() < 0.35 else None
    full = (random.choice(list(WRITES)), random.randint(1, 60)) if random.random() < 0.15 else None
    return Act(
        pause=0 if first else random.choice((0.1, 1, 30, 900, 7200, 90000)),
        before=[] if first else random.choices(KINDS, k=random.randint(0, 4)),
        during={
            random.randint(1, 14): random.choices(KINDS, k=random.randint(1, 3)) for _ in range(random.randint(0, 3))
        },
        faults=[_fault(random) for _ in range(random.choice((0, 0, 1, 1, 2)))],
        crash=crash,
        full=None if crash else full,
        options=random.choice(({}, {}, {}, {"sweep": True}, {"full": True}, {"max_requests": random.randint(1, 9)})),
        publishing=random.random() < 0.3,
    )


def _crash(random: Random) -> tuple[str, int]:
    if random.random() < 0.4:
        return random.choice(("before a commit", "after a commit")), random.randint(1, 8)
    return random.choice(list(STEPS)), random.randint(1, 4)


def _fault(random: Random) -> dict[str, Any]:
    kind, how = random.choice(ERRORS if random.random() < 0.6 else ODDITIES)
    count = random.choice((1, 1, 2, 6, None))
    return {"kind": kind, **how, "nth": random.randint(1, 12), "count": count}
