"""Every connector keeps every promise, and the suite catches one that does not."""

import re
from pathlib import Path

import pytest

from onepipe import contract, registry
from onepipe.connector import Facts, Writes
from onepipe.errors import ConfigError
from onepipe.sandbox.rig import rig, rig_for

DOCS = Path(__file__).parent.parent / "docs" / "connector.md"

# The same promises hold in every era and habit of a CRM that its documentation leaves open.
ACCOUNTS = {
    "administrate": [{}],
    "tactile": [{}, {"era": "head"}, {"messages": "errors"}],
    "capsule": [{}, {"order": "shuffled", "size": False, "lastmodified": "strict", "error_body": "empty"}],
    "onautomate": [{}, {"next_page_url": "until_end", "missing_status": 404, "cursor_id": "opportunity"}],
    "overplane": [{}],
}
RUNS = [(name, options) for name, several in ACCOUNTS.items() for options in several]


@pytest.mark.parametrize(("name", "options"), RUNS, ids=lambda value: value if isinstance(value, str) else str(value))
def test_a_shipped_connector_keeps_every_promise(name: str, options: dict[str, object]) -> None:
    """No promise is broken by a connector of ours, in any account of its CRM."""
    results = contract.run(registry.load(name, None), rig(name, **options))
    assert [] == [str(result) for result in results if result.outcome == "failed"]
    assert 60 < sum(result.outcome == "passed" for result in results)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The connector and its fake that docs/connector.md shows, as files."""
    folder = tmp_path_factory.mktemp("connectors")
    blocks = re.findall(r"```python\n# connectors/(\S+)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text)
    return folder / "deals.py"


def test_the_documented_example_keeps_every_promise(example: Path) -> None:
    """What docs/connector.md shows works as printed."""
    made = registry.load_file(example)
    results = contract.run(made, rig_for(made, example))
    assert [] == [str(result) for result in results if result.outcome == "failed"]
    inapplicable = {"tells_deletions", "reads_details", "reads_its_reference_lists", "documents_its_reads"}
    inapplicable |= {"describes_before_it_sends"}
    assert inapplicable | {"counts_within_a_window"} == {
        result.name for result in results if result.outcome == "skipped"
    }


# A careless change to the documented example, and the promise that it breaks.
CARELESS = [
    ("self.http.get(", "self._kindly(", "never_an_empty_page"),
    ("self.http.get(", "self._kindly(", "sorts_refusals"),
    ("return by_offset(", "return self._as_far_as_it_goes(", "fails_in_the_middle"),
    ("return by_offset(", "return self._until_short(", "reads_what_a_cap_leaves"),
    ("return by_offset(", "return self._for_ever(", "notices_loops"),
    ("return by_offset(", "return self._by_hundreds(", "misses_no_row_beside_a_deleted_one"),
    ("return by_offset(", "return self._first(", "reads_every_row"),
    (", since), window.resume)", ", since))", "goes_on_where_it_stopped"),
    ('filter="since"', 'filter="none"', "filters_iff_it_says_so"),
    ("updated_since=since", "updated_since=None", "filters_iff_it_says_so"),
    ("gone=True", "gone=(401, 403, 404, 429, 500, 503)", "never_gone_by_failure"),
    (", gone=True", "", "says_gone"),
    ("return self._page(0, limit=1).total", "raise BadPayload(str(self.credentials))", "tells_no_secret"),
    ('stamp="updated_at", total', 'stamp="changed_at", total', "gives_whole_records"),
    ("return self._page(0, limit=1)", "return self._page(0) and self._page(0)", "counts_with_one_request"),
    ("limit=1).total", "limit=1).records[0] and 1", "counts_with_one_request"),
    ('base_url="https://api.example.com"', 'base_url=""', "says_what_it_is"),
    ("json_page(answer.content", 'json_page(answer.content.replace(b"  ", b" ")', "keeps_hostile_text"),
    ("self.http.get(", 'self.http.send("GET", ', "gets_over_a_hiccup"),
    ("return by_offset(", "return self._only_news(", "reads_the_same_twice"),
    ('filter="since"', 'filter="since", details=("tags",)', "reads_details"),
    ("def get(", "deleted = _no_tombstones\n\n    def get(", "tells_deletions"),
    ("def get(", "mine = _undocumented\n\n    def get(", "documents_its_reads"),
    ("def get(", "update = _at_once\n\n    def get(", "describes_before_it_sends"),
    ("def get(", "writes = Writes(required=())\n    update = _at_once\n\n    def get(", "describes_before_it_sends"),
]
MISTAKES = """
    def _kindly(self, path, **query):
        try:
            return self.http.get(path, **query)
        except Exception:
            return SimpleNamespace(content=b'{"data": [], "total": 0}')

    def _only_news(self, fetch, resume):
        yield from () if self.settings else [fetch(0)]
        self.settings = {"seen": True}

    def _as_far_as_it_goes(self, fetch, resume):
        yield fetch(0)
        try:
            yield fetch(100)
        except Exception:
            return

    def _until_short(self, fetch, resume):
        yield (page := fetch(0))
        if len(page.records) == 100:
            yield fetch(100)

    def _for_ever(self, fetch, resume):
        for number in range(10_000):
            yield fetch(100 * number)

    def _by_hundreds(self, fetch, resume):
        for offset in range(0, fetch(0).total, 100):
            yield fetch(offset)

    def _first(self, fetch, resume):
        yield fetch(0)
"""
BEFORE = """
from types import SimpleNamespace

from onepipe.connector import BadPayload, Writes, read


def _no_tombstones(self, since):
    return iter([Page([])])


@read
def _undocumented(self):
    return b"[]"


def _at_once(self, record_id, payload, change):
    self.http.send("PATCH", f"/deals/{record_id}", json=change)
    return []
"""


@pytest.mark.parametrize(("old", "new", "promise"), CARELESS, ids=[f"{promise}:{new}" for _, new, promise in CARELESS])
def test_a_careless_connector_is_caught(old: str, new: str, promise: str, example: Path, tmp_path: Path) -> None:
    """Each mistake that authors make breaks the promise that is about it, and the reason says what was seen."""
    text = example.read_text()
    assert old in text
    path = tmp_path / example.name
    path.write_text(text.replace(old, new).replace("\n\nclass ", f"{BEFORE}\n\nclass ") + MISTAKES)
    path.with_name("deals.fake.py").write_text(example.with_name("deals.fake.py").read_text())
    made = registry.load_file(path)
    checks = [check for check in contract.every_check(made) if check.name.partition("[")[0] == promise]
    failed = [result for result in contract.run(made, rig_for(made, path), checks) if result.outcome == "failed"]
    assert failed
    assert all(result.reason for result in failed)


def test_the_documented_verbs_of_writing_work_as_printed(example: Path, tmp_path: Path) -> None:
    """Put into the documented class, they make a connector that writes, with every promise kept."""
    [block] = re.findall(r"```python\n# in the class Deals\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / example.name
    offered = "from datetime import datetime\nfrom decimal import Decimal\n\nfrom onepipe.connector import (\n"
    more = ("Change", "Habits", "Request", "Scale", "Writes", "action", "json_facts")
    head = offered + "".join(f"    {name},\n" for name in more)
    path.write_text(example.read_text().replace("from onepipe.connector import (\n", head) + "\n" + block)
    path.with_name("deals.fake.py").write_text(example.with_name("deals.fake.py").read_text())
    made = registry.load_file(path)
    results = contract.run(made, rig_for(made, path))
    assert [] == [str(result) for result in results if result.outcome == "failed"]
    assert "describes_before_it_sends" not in {result.name for result in results if result.outcome == "skipped"}


def test_every_promise_is_documented(example: Path) -> None:
    """docs/connector.md names every check of the suite, and no other."""
    named = set(re.findall(r"\[([a-z_]+)\]", DOCS.read_text()))
    checks = {check.name.partition("[")[0] for check in contract.every_check(registry.load_file(example))}
    assert checks == named


def test_every_fact_is_documented() -> None:
    """docs/connector.md names every fact a connector can declare."""
    text = DOCS.read_text()
    facts = (*Facts.__dataclass_fields__, *Writes.__dataclass_fields__)
    assert [] == [name for name in facts if f"`{name}`" not in text]


def test_a_check_has_a_name_of_its_own() -> None:
    """Names can be used to ask for one check, and as ids of tests."""
    names = [check.name for check in contract.every_check(registry.load("capsule", None))]
    assert len(names) == len(set(names))


def test_a_report_ends_with_a_score(example: Path) -> None:
    """What failed or did not apply says why, and the last line counts them."""
    made = registry.load_file(example)
    results = contract.run(made, rig_for(made, example), contract.every_check(made)[:2])
    assert "1 of 1 promises hold, 1 do not apply" == contract.score(results)
    assert "skipped documents_its_reads: Every named read" in str(results[1])
    assert str(results[1]).endswith("But: has no named reads")


def test_a_connector_without_a_fake_says_how_to_write_one(example: Path, tmp_path: Path) -> None:
    """A third party's connector cannot be tested without a fake; ours are tested against the sandbox."""
    lonely = tmp_path / "lonely.py"
    lonely.write_text(example.read_text())
    with pytest.raises(ConfigError, match="no fake CRM") as raised:
        rig_for(registry.load_file(lonely), lonely)
    assert "lonely.fake.py" in str(raised.value.hint)
    both = tmp_path / "both.py"
    both.write_text(example.read_text() + "\n\n" + example.with_name("deals.fake.py").read_text())
    assert ["1", "2"] == rig_for(registry.load_file(both), both).fill(2, "x")
