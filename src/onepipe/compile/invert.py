"""The way back: canonical values to the form the CRM is sent."""

import collections.abc
from typing import Any

from onepipe.errors import UsageError
from onepipe.mapping import MappedField, Mapping

Places = collections.abc.Mapping[str, tuple[str, ...]]


def invert(mapping: Mapping, values: dict[str, Any], also: Places | None = None) -> dict[str, Any]:
    """What the CRM is sent for canonical values: its own names and units, nested as it nests them. None clears.

    `custom.KEY` is one custom field, beneath the place of `custom`. `also` holds places of fields that the mapping does
    not write, whose values are sent as they are: those of a connector's `Writes`.

    Raises UsageError for a column that cannot be written, and for a word that the field's table does not hold.
    """
    sent: dict[str, Any] = {}
    for name, value in values.items():
        made, place = mapping.fields.get(name), _place(mapping, name, also or {})
        if not place:
            raise UsageError(f"The mapping {mapping.name} cannot write {name}.")
        within = sent
        for step in place[:-1]:
            within = within.setdefault(step, {})
        within[place[-1]] = value if value is None or made is None or made.to is None else _written(made, value)
    return sent


def column_of(mapping: Mapping, word: str, also: Places | None = None) -> str | None:
    """The field that a CRM means by a word of its own, as in a refusal: `title`, `step` or `step.id`; None if none."""
    places = {name: made.to for name, made in mapping.fields.items() if made.to} | dict(also or {})
    exact = [name for name, place in places.items() if word in (".".join(place), place[0])]
    return next(iter(exact or [name for name, place in places.items() if word == place[-1]]), None)


def _place(mapping: Mapping, name: str, also: Places) -> tuple[str, ...]:
    """Where a field stands in what is sent; empty where it has no place."""
    made = mapping.fields.get(name)
    if made is not None and made.to is not None:
        return made.to
    whole, _, key = name.partition(".")
    above = _place(mapping, "custom", also) if whole == "custom" and key else ()
    return also.get(name, (*above, key) if above else ())


def _written(made: MappedField, value: Any) -> Any:
    if made.values is not None:
        if value not in made.values:
            raise UsageError(f"{made.name} can be {', '.join(made.values)}, not {value!r}.")
        value = made.values[value][0]
    return made.transform.write(value) if made.transform.write else value
