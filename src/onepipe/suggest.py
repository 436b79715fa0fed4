"""Lines for a mapping, proposed: what the deals of a connection hold and no column reads, and how each could be read.

What is written is a whole file that extends the mapping in use. Every line in force was proved by loading it.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onepipe.warehouse.layout as layout
import onepipe.warehouse.suggest as stored
from onepipe import registry
from onepipe.account import closed_connector, mapping_at, mapping_of, mapping_path
from onepipe.config import Config, Connection
from onepipe.errors import ConfigError, UsageError
from onepipe.mapping import EXTRA, Mapping, parse_source
from onepipe.transform import TRANSFORMS
from onepipe.warehouse.database import Database
from onepipe.warehouse.samples import secret
from onepipe.warehouse.suggest import Key

RARE = 0.02  # filled in fewer live deals than this share of them
_NUMBERS = {"DOUBLE", "BIGINT", "UBIGINT", "HUGEINT"}  # as DuckDB calls the types of JSON
NAME = 60  # letters of a column's name
_IDS = re.compile(r"(^|[_ ])(id|uuid|guid|phone|mobile|tel|zip|postcode)s?$", re.IGNORECASE)
# What people call a canonical column, letters and digits only.
_CALLED = {
    "description": "description summary details",
    "amount": "amount value dealvalue dealamount opportunityvalue total",
    "currency": "currency currencycode",
    "probability": "probability likelihood winprobability",
    "expected_close_date": "expectedclosedate expectedclose expectedclosing closedate closingdate forecastclosedate",
    "owner": "owner dealowner salesperson salesrep accountmanager accountowner assignedto",
    "company": "company companyname account accountname organisation organization customer client",
    "contact": "contact contactname maincontact contactperson",
    "contact_email": "contactemail email emailaddress",
    "contact_phone": "contactphone phone phonenumber telephone mobile",
    "lead_source": "leadsource source sourceoflead origin channel",
    "type": "type dealtype opportunitytype kind category",
    "lost_reason": "lostreason lossreason reasonlost reasonforloss closedlostreason",
}
_READ_AS = {"amount": ("decimal",), "currency": ("currency",), "probability": ("percent", "fraction")} | {
    "expected_close_date": ("day",)
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line for a mapping file. `block` is fields or columns; `why` is said of a field; `off` why it is left out."""

    block: str
    name: str
    path: str
    transform: str
    key: Key
    why: str | None = None
    off: str | None = None

    @property
    def text(self) -> str:
        """The line as it stands in the file."""
        told = f"from: {_written(self.path)}"
        if self.block == "columns" or self.transform not in ("text", "currency", "decimal", "day"):
            told += f", as: {self.transform}"
        return f"{self.name}: {{{told}{', write: false' if self.block == 'fields' else ''}}}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is proposed for one connection, of how many live deals, and the name of the mapping it extends."""

    connection: str
    deals: int
    extends: str
    lines: list[Line]

    @property
    def file(self) -> str:
        """A whole mapping file."""
        told = [
            f"# What the {self.deals:,} live deals of {self.connection} hold and no column reads yet. Lines that begin",
            "# with # are left out, with the reason above them; take the # away to have them all the same.",
            f"extends: {_written(self.extends)}",
        ]
        for block in ("fields", "columns"):
            lines = [one for one in self.lines if one.block == block]
            told += [f"{block}:"] if lines else []
            for one in lines:
                told += [f"  # {text}" for text in _remarks(one, self.deals)]
                told.append(f"  {'# ' if one.off else ''}{one.text}")
        return "\n".join(told) + "\n"


def suggest(db: Database, config: Config, connection: Connection) -> Suggestion:
    """Look at what is stored of a connection. `db` is the published warehouse. Raises UsageError, ConfigError."""
    mapping, path = mapping_of(config, connection), mapping_path(config, connection)
    named = registry.named("mappings", path.stem, config.folder)
    if not named or named[0].resolve() != path.resolve():
        raise UsageError(
            f"the mapping of {connection.name} is {path}, which no file can extend by its name; nothing was proposed",
            "move it into mappings/ beside config.yaml, and name it there",
        )
    deals = stored.deals(db, connection.name)
    if not deals:
        raise UsageError(f"nothing is stored of {connection.name} to look at", f"`onepipe sync {connection.name}`")
    found = [key for key in stored.keys(db, connection.name, _known(mapping)) if not _is_read(mapping, key)]
    empty = stored.empty_columns(db, connection.name)
    drifting = closed_connector(config, connection).facts.drifting
    names = {column.name: column.type for column in layout.typed(db)}
    lines = _lines([_line(key, deals, drifting) for key in found], mapping, empty, names)
    told = Suggestion(connection.name, deals, path.stem, sorted(lines, key=lambda one: one.block, reverse=True))
    return _proved(told, config.folder)


def _known(mapping: Mapping) -> list[tuple[str, ...]]:
    """The ways into the record that the mapping reads, each with all that stands below it."""
    return [source.steps for source in mapping.sources() if source.root == ""]


def _is_read(mapping: Mapping, key: Key) -> bool:
    """Whether a key of custom is read by a column already, or cannot be read by any."""
    if key.root != "custom":
        return False
    read = {source.steps for source in mapping.sources() if source.root == "custom"}
    return key.steps in read or "custom" not in mapping.fields or not key.steps[0]


def _line(key: Key, deals: int, drifting: Sequence[str]) -> Line:
    """A column for a key; its name is made unique later."""
    path = ".".join([key.root, *key.steps] if key.root else key.steps)
    if key.root == "" and key.kinds == {"ARRAY"}:
        path += "[]"
    line = Line("columns", _column_name(key.steps), path, _transform(key), key)
    numbers = key.kinds <= _NUMBERS and line.transform == "text" and not _IDS.search(key.steps[-1])
    why = "as text: decimal, of four decimals, would not hold all of its values exactly" if numbers else None
    return replace(line, off=_off(line, deals, drifting), why=why)


def _transform(key: Key) -> str:
    if key.kinds == {"ARRAY"} and key.root == "":
        return "tags"
    if key.kinds == {"OBJECT"}:
        return "object"
    if _IDS.search(key.steps[-1]):
        return "text"
    return next((name for name in ("flag", "decimal", "day", "instant") if name in key.fits), "text")


def _off(line: Line, deals: int, drifting: Sequence[str]) -> str | None:
    key, source = line.key, parse_source(line.path)
    if key.root == "" and (source is None or source.root or source.steps != key.steps):
        return "no path of a mapping can be written with its name"
    if len(key.kinds) > 1 and key.kinds & {"OBJECT", "ARRAY"}:
        return f"it holds values of different kinds: {', '.join(sorted(kind.lower() for kind in key.kinds))}"
    if any(secret(step) for step in key.steps):
        return "it is called like a secret"
    if key.steps[0] in drifting and key.root == "":
        return "it drifts by itself, which makes no version: the column would show an old value"
    if key.filled < 2 or key.filled < RARE * deals:
        return "rare"
    return "always the same value" if key.distinct == 1 else None


def _column_name(steps: Sequence[str]) -> str:
    """A name of a-z, 0-9 and _ that resembles the key's."""
    plain = unicodedata.normalize("NFKD", "_".join(steps)).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"'", "", plain)).strip("_")
    return (words if words[:1].isalpha() else f"c_{words}".rstrip("_"))[: NAME - 4].rstrip("_")


def _lines(lines: Sequence[Line], mapping: Mapping, empty: set[str], names: dict[str, str]) -> list[Line]:
    """The lines with names of their own; what looks like a canonical column that is empty becomes that one."""
    taken, made = {name.removeprefix(EXTRA) for name in mapping.columns}, list[Line]()
    for line in lines:
        column = None if line.off else _canonical(line, empty)
        if column and column not in [one.name for one in made if one.block == "fields"]:
            made.append(_field(line, column, mapping))
            continue
        type_ = TRANSFORMS[line.transform].type
        name, number = line.name, 1
        while name in taken or names.get(EXTRA + name, type_) != type_:
            number += 1
            name = f"{line.name}_{number}"
        taken.add(name)
        made.append(replace(line, name=name))
    return made


def _canonical(line: Line, empty: set[str]) -> str | None:
    """The empty canonical column that a key is called like, and whose values it holds."""
    word = re.sub(r"[^a-z0-9]", "", line.key.steps[-1].lower())
    for column, called in _CALLED.items():
        fitting = _READ_AS.get(column)
        holds = line.key.fits & set(fitting) if fitting else line.transform in ("text", "decimal")
        if column in empty and word in called.split() and holds:
            return column
    return None


def _field(line: Line, column: str, mapping: Mapping) -> Line:
    transform = next((name for name in _READ_AS.get(column, ()) if name in line.key.fits), "text")
    there = column in mapping.fields
    off = f"the mapping reads {column} already, from what is empty in all deals" if there else None
    why = f"{column} is NULL in all deals, and this is called like it"
    return replace(line, block="fields", name=column, transform=transform, why=why, off=off)


def _proved(told: Suggestion, project: Path) -> Suggestion:
    """The same, with each line left out that cannot be loaded together with those before it."""
    if _fault(told, project) is None:
        return told
    kept = list[Line]()
    for line in told.lines:
        fault = None if line.off else _fault(replace(told, lines=[*kept, line]), project)
        kept.append(replace(line, off=fault) if fault else line)
    return replace(told, lines=kept)


def _fault(told: Suggestion, project: Path) -> str | None:
    """What is wrong with the file, the first of it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "suggested.yaml"
        path.write_text(told.file, encoding="utf-8")
        try:
            mapping_at(path, project)
        except ConfigError as error:
            return error.faults[0].message if error.faults else error.message
    return None


def _remarks(line: Line, deals: int) -> list[str]:
    key = line.key
    values = "one value" if key.distinct == 1 else f"{key.distinct:,} values"
    share = f"{key.filled / deals:.0%}" if 0.01 <= key.filled / deals <= 0.99 or key.filled == deals else None
    counts = f"in {key.filled:,} of {deals:,} deals{f' ({share})' if share else ''}, {values}"
    told = [f"{counts}: {', '.join(key.samples)}", *([line.why] if line.why else [])]
    if line.off:
        told.insert(0, f"left out: {line.off}")
    return ["".join(letter if letter.isprintable() else " " for letter in one) for one in told]


def _written(path: str) -> str:
    """A text as YAML takes it within braces."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*( [A-Za-z0-9_.(]+[A-Za-z0-9_.()]*)*", path)
    if plain:
        return path
    quoted = json.dumps(path, ensure_ascii=False)  # JSON's escapes are YAML's; what YAML would fold or refuse is added
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
