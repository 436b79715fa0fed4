"""`connections_from:`: one entry and a list of accounts become as many connections, as if each stood in the file.

expand -> every entry's list is read, held against its last good copy, and laid into the entry row by row
sort   -> what is found wrong with the connections later: the entry's own mistakes, told once, and those of single rows
"""

import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onepipe.config.columns as columns
import onepipe.config.rows as rows
from onepipe.config.kinds import connection_name
from onepipe.config.lists import ListTrouble, Looked, Source
from onepipe.config.notation import duration
from onepipe.config.rows import Row, Rows
from onepipe.errors import Fault
from onepipe.yamlmarks import Marks, Place

KEY = "connections_from"
OWN = ("name", "file", "command", "every", "shrink")  # keys of an entry; all others are a connection's
FEW = 4  # accounts of which most may well be gone at once
EVERY = "10m"  # how often a program is asked again


@dataclass(frozen=True, slots=True)
class Member:
    """A connection that was made of a row: its entry's place and template."""

    place: Place
    row: Row
    template: dict[str, Any]


@dataclass(slots=True)
class Fleet:
    """What became of the entries. `data` is config.yaml's, with all connections; `faults` are of entries and lists,
    `wrong` of single accounts, by name and key; `notices` are sentences for people.
    """

    data: Any
    members: dict[str, Member] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    wrong: dict[str, list[tuple[str, Fault]]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)
    good: list[tuple[Source, str]] = field(default_factory=list)

    def keep(self) -> None:
        """Keep each list that was believed as its last good copy."""
        for source, text in self.good:
            source.keep(text)
        self.looked = [one if one.source.file else replace(one, stamp=one.source.stamp()) for one in self.looked]

    def sort(self, faults: Iterable[Fault], marks: Marks) -> list[Fault]:
        """Those faults that are nobody's but config.yaml's; what a row brought about is noted as its account's own."""
        own = []
        for fault in faults:
            name, rest = self._member(fault.path)
            if name is None:
                own.append(fault)
            elif _is_of_row(self.members[name].template, rest):
                if rest[0] not in self._spoilt(name):
                    told = self.members[name].row.fault(".".join((name, *rest)), fault.message)
                    self.wrong.setdefault(name, []).append((rest[0], told))
            else:
                own.append(marks.fault((*self.members[name].place, *rest), fault.message))
        return own

    def _spoilt(self, name: str) -> set[str]:
        """The keys whose own cells are wrong: what follows from that is not told, too."""
        return {key for key, fault in self.wrong.get(name, ()) if not fault.path.startswith(name)}

    def _member(self, path: str) -> tuple[str | None, tuple[str, ...]]:
        """The account that a dotted place lies in, whose name may hold dots, and the rest of the place."""
        parts = path.split(".")
        if parts[0] == "connections":
            for end in range(2, len(parts) + 1):
                if (name := ".".join(parts[1:end])) in self.members:
                    return name, tuple(parts[end:])
        return None, ()


def listed(data: Any, marks: Marks) -> Any:
    """The data with `connections_from` as a list, also where only one entry stands there."""
    if not isinstance(data, dict) or not isinstance(data.get(KEY), dict):
        return data
    for places in (marks.keys, marks.values, marks.texts):
        moved: dict[Place, Any] = {(KEY, 0, *at[1:]): one for at, one in places.items() if at[:1] == (KEY,)}
        places.update(moved)
    return data | {KEY: [data[KEY]]}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: its place, what is written there, the part of that which makes a connection, and its list."""

    place: Place
    written: dict[str, Any]
    template: dict[str, Any]
    source: Source

    def name(self, read: Rows) -> str:
        """How the connections are named: as it says, else after the connector and the first column."""
        name = self.written.get("name")
        if isinstance(name, str):
            return name
        return f"{self.written.get('connector')}-{{{read.columns[0] if read.columns else ''}}}"

    def unknown(self, read: Rows, marks: Marks) -> list[Fault]:
        """The places that name a column the list does not have."""
        if not read.columns:
            return []
        texts = self.template | {"name": self.name(read)}
        return [marks.fault((*self.place, *at), said) for at, said in columns.unknown(texts, read.columns)]


class Expansion:
    """One reading of all entries; `keys` are those of a connection.

    `renewing`: a list that is wrong in places must not stop what runs already. `believing`: however short it became.
    """

    def __init__(
        self,
        data: dict[str, Any],
        marks: Marks,
        keys: Container[str],
        *,
        renewing: bool = False,
        believing: bool = False,
    ) -> None:
        state = data.get("state", ".onepipe")
        self._marks, self._folder, self._keys = marks, marks.file.absolute().parent, keys
        self._state = self._folder / Path(state if isinstance(state, str) else ".onepipe").expanduser()
        self._renewing, self._believing = renewing, believing
        written = data.get("connections")
        self._written = written if isinstance(written, dict) else {}
        self.fleet = Fleet(data | {"connections": dict(self._written)})

    def run(self) -> Fleet:
        """Every entry whose own keys make sense; the others are told with all that is wrong in config.yaml."""
        for entry in self._entries():
            self._expand(entry)
        return self.fleet

    def known(self) -> list[str]:
        """The names that are made of what is at hand: no program is asked, and nothing is told."""
        found = []
        for entry in self._entries():
            text = entry.source.copy()
            read = rows.read(text, entry.source.name) if text else Rows()
            if not entry.unknown(read, self._marks):
                found += [columns.text_of(entry.name(read), row) for row in read.rows]
        return found

    def _entries(self) -> Iterator[_Entry]:
        entries = self.fleet.data.get(KEY)
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and (source := self._source(entry)):
                template = {key: value for key, value in entry.items() if key in self._keys}
                yield _Entry((KEY, number), entry, template, source)

    def _source(self, entry: dict[str, Any]) -> Source | None:
        file, command, every = entry.get("file"), entry.get("command"), entry.get("every", EVERY)
        words = ["sh", "-c", command] if isinstance(command, str) else command or []
        if (file is None) == (not words) or not isinstance(file, str | None) or not isinstance(words, list):
            return None
        try:
            seconds = duration(every).total_seconds()
        except ValueError:
            return None
        path = self._folder / Path(file).expanduser() if file else None
        about = f"{entry.get('name')} {entry.get('connector')}"
        return Source.of(path, [str(word) for word in words], self._folder, self._state, about, seconds)

    def _expand(self, entry: _Entry) -> None:
        stamp = entry.source.stamp()  # before it is read: a change meanwhile is seen
        if found := self._read(entry):
            text, read = found
            used = self._believed(entry, text, read)
            clean = self._make(entry, used)
            if used is read and clean and not read.faults:
                self.fleet.good.append((entry.source, text))
            self.fleet.looked.append(Looked(entry.source, stamp, time.time()))

    def _read(self, entry: _Entry) -> tuple[str, Rows] | None:
        """The list as it is now; its last good copy where a program failed. None where there is nothing to go on."""
        source = entry.source
        try:
            text = source.get(anew=self._believing)
        except ListTrouble as trouble:
            before = source.copy()
            if before is None or (source.file and not self._renewing):
                key = "file" if source.file else "command"
                self.fleet.faults.append(self._marks.fault((*entry.place, key), str(trouble)))
                return None
            self._tell(f"{trouble}; the list of accounts is used as it was last read")
            text = before
        return text, rows.read(text, source.name)

    def _believed(self, entry: _Entry, text: str, read: Rows) -> Rows:
        """The list that is to be used: the one read, or the last good copy where that one cannot be right."""
        faults = [*read.faults, *entry.unknown(read, self._marks)]
        before = entry.source.copy()
        old = rows.read(before, entry.source.name) if before is not None and before != text else None
        if old and entry.unknown(old, self._marks):
            old = None  # made for another template
        if faults and not (self._renewing and read.rows and all(one.path == "(line)" for one in faults)):
            if self._renewing and old:
                self._tell(f"{faults[0]}; the list of accounts is used as it was last read")
                return old
            self.fleet.faults += faults
            return Rows()
        for fault in faults:
            self._tell(f"{fault}; this line is passed over")
        allowed = self._believing or entry.written.get("shrink") == "allow"
        if old and not allowed and (lost := _lost(entry.name(old), old, read)):
            self._tell(f"{entry.source.name} {lost}")
            return old
        if not read.rows:
            self._tell(f"{entry.source.name} names no account")
        return read

    def _make(self, entry: _Entry, read: Rows) -> bool:
        """A connection for each row; whether all of them could be named."""
        name, first = entry.name(read), dict[str, Row]()
        for row in read.rows:
            made = columns.text_of(name, row)
            if wrong := self._name_fault(made, row, name, first):
                if self._renewing:
                    self._tell(f"{wrong}; this account is left out")
                else:
                    self.fleet.faults.append(wrong)
                continue
            first[made] = row
            filling = columns.Filling(row)
            self.fleet.data["connections"][made] = filling.fill(entry.template)
            self.fleet.members[made] = Member(entry.place, row, entry.template)
            if filling.faults:
                self.fleet.wrong[made] = filling.faults
        return len(first) == len(read.rows)

    def _name_fault(self, made: str, row: Row, name: str, first: dict[str, Row]) -> Fault | None:
        used = [found for _, found in columns.named(name)]
        told = ", ".join(used) or "name"
        for column in used:
            if not row.cells[column]:
                return row.fault(column, "is empty, and the name needs it")
        try:
            connection_name(made)
        except ValueError as error:
            return row.fault(told, f"{made!r} cannot be used: {error}")
        if made in first:
            return row.fault(told, f"the name {made!r} stands twice, first in line {first[made].line}")
        if made in self._written:
            return row.fault(told, f"the name {made!r} stands under `connections:` in config.yaml, too")
        if made in self.fleet.members:
            return row.fault(told, f"the name {made!r} is made by another entry of {KEY}, too")
        return None

    def _tell(self, text: str) -> None:
        self.fleet.notices.append(text)


def _lost(name: str, old: Rows, new: Rows) -> str:
    """Why a list is not believed, in words: it lost more than half of its accounts, or all; empty where it is."""
    were, are = ({columns.text_of(name, row) for row in one.rows} for one in (old, new))
    gone = len(were - are)
    if 2 * gone <= len(were) or (are and len(were) < FEW):
        return ""
    return (
        f"names {len(are):,} accounts, and named {len(were):,} before, of which {gone:,} are gone: it is not believed, "
        "and those before are kept; `onepipe fleet --accept` if it is right"
    )


def _is_of_row(template: dict[str, Any], rest: tuple[str, ...]) -> bool:
    """Whether what stands at a place of a connection comes from its row: it is a text that names a column."""
    here: Any = template
    for key in rest:
        if not isinstance(here, dict) or key not in here:
            break
        here = here[key]
    return bool(rest) and isinstance(here, str) and bool(columns.COLUMN.search(here))
