"""Which columns a field of a CRM is read into, by the mapping that was applied: what drift means for the tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from onepipe.mapping import MappedField, Mapping, load_mapping
from onepipe.mapping.form import Each, Source, StageRules
from onepipe.warehouse.database import Database

RECORD = "opportunity"


@dataclass(frozen=True, slots=True)
class Use:
    """One column that reads a field: `alone` where nothing else fills it. `whole`: with all that is below the field.

    A column of a list of children is `line_items.quantity`. A step "*" stands for any key.
    """

    column: str
    resource: str
    steps: tuple[str, ...]
    whole: bool
    alone: bool


def uses(db: Database) -> dict[str, list[Use]]:
    """For each connection what the mapping reads that its rows are read with."""
    return {name: list(_uses(_loaded(text))) for name, text in db.run("SELECT connection, text FROM store.mappings")}


def columns(db: Database) -> dict[str, list[str]]:
    """For each connection the columns of its own that its applied mapping has: x_arr."""
    texts = db.run("SELECT connection, text FROM store.mappings WHERE contains(text, 'columns')")
    return {name: list(_loaded(text).columns) for name, text in texts}


def reading(known: Sequence[Use], resource: str, steps: tuple[str, ...]) -> list[Use]:
    """Those of `known` that read a field, something in it, or all that it belongs to; each column once."""
    found = {
        use.column: use
        for use in known
        if use.resource == resource and _same(use.steps, steps) and (len(steps) <= len(use.steps) or use.whole)
    }
    return list(found.values())


def _same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one way is the other, as far as both go."""
    return all(a in (b, "*") for a, b in zip(one, other, strict=False))


def _loaded(text: str) -> Mapping:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "applied.yaml"
        path.write_text(text, encoding="utf-8")
        return load_mapping(path)


def _uses(mapping: Mapping) -> Iterator[Use]:
    yield Use("source_id", RECORD, mapping.key.steps, False, True)
    for name, one in (mapping.fields | mapping.columns).items():
        for source in one.read():
            if source.root != "custom":  # a key of the column custom, which is told of itself
                yield _use(name, one, source, RECORD, ())
    for resource, rules in mapping.reference.items():
        for name, one in rules.fields.items():
            for source in one.sources:
                yield _use(f"stages.{name}", one, source, resource, _each(rules, source))
    for name, children in mapping.children.items():
        place, above = _elements(children.each)
        for column, one in children.fields.items():
            for source in one.read():
                yield _use(f"{name}.{column}", one, source, place, above)


def _elements(each: Each) -> tuple[str, tuple[str, ...]]:
    """The resource and the way in it to the elements that children are made of."""
    steps = tuple(step for below, _ in each.below for step in (*below, "[]"))
    steps = ("[]", *steps, *("*" if each.keyed else ""))
    if each.first.root == "@":
        return each.first.steps[0], (*each.first.steps[1:], *steps)
    return RECORD, (*each.first.steps, *steps)


def _each(rules: StageRules, source: Source) -> tuple[str, ...]:
    """Where the records stand that stages are made of."""
    return (*rules.each.steps, "[]") if rules.each and source.root == "" else ()


def _use(column: str, one: MappedField, source: Source, resource: str, above: tuple[str, ...]) -> Use:
    alone = one.sources == (source,) and one.default is None
    whole = one.type == "JSON" or (source.is_list and not source.item)
    steps = source.steps
    if source.root == "@":  # @tag[].name: the list itself is the detail's answer
        resource, steps = steps[0], steps[1:]
    if source.is_list and (source.item or source.root == "@"):
        steps = (*steps, "[]", *([source.item] if source.item else []))
    return Use(column, resource, (*above, *steps) if source.root != "$" else above, whole, alone)
