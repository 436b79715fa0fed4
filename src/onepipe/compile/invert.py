"""The way back: canonical values to the form the CRM is sent."""

from typing import Any

from onepipe.errors import UsageError
from onepipe.mapping import MappedField, Mapping


def invert(mapping: Mapping, values: dict[str, Any]) -> dict[str, Any]:
    """What the CRM is sent for canonical values: its own names and units, nested as it nests them. None clears.

    Raises UsageError for a column that cannot be written, and for a word that the field's table does not hold.
    """
    sent: dict[str, Any] = {}
    for name, value in values.items():
        made = mapping.fields.get(name)
        if made is None or made.to is None:
            raise UsageError(f"The mapping {mapping.name} cannot write {name}.")
        place = sent
        for step in made.to[:-1]:
            place = place.setdefault(step, {})
        place[made.to[-1]] = None if value is None else _written(made, value)
    return sent


def _written(made: MappedField, value: Any) -> Any:
    if made.values is not None:
        if value not in made.values:
            raise UsageError(f"{made.name} can be {', '.join(made.values)}, not {value!r}.")
        value = made.values[value][0]
    return made.transform.write(value) if made.transform.write else value
