"""The command `schema`: what an editor needs to complete and check config.yaml or a mapping."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import app, examples

if TYPE_CHECKING:
    from onepipe.model import Child

Schema = dict[str, Any]

TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
WORDS: Schema = {"type": ["string", "number", "boolean", "array"]}
NAME = "^[a-z][a-z0-9_]{0,59}$"
PATH = "Where it stands in what the CRM sends: step.name, tags[], @detail[].name"


class Subject(StrEnum):
    """What a JSON Schema is printed for."""

    config = "config"
    mapping = "mapping"


@app.command(epilog=examples("onepipe schema config > config.schema.json", "onepipe schema mapping"))
def schema(what: Annotated[Subject, typer.Argument(metavar="config|mapping", show_default=False)]) -> None:
    """Print a JSON Schema, for editors.

    With it an editor completes and checks config.yaml or a mapping while you type.
    """
    from onepipe import config

    described = config.schema() if what is Subject.config else mapping()
    screen.document({"$schema": "https://json-schema.org/draft/2020-12/schema"} | described)


def mapping() -> Schema:
    """A mapping file. What only the whole file can tell (that there is a way back, say) `mapping check` finds."""
    from onepipe.mapping import COLUMN_KEYS, FIELD_KEYS, MAPPING_KEYS, STAGE_TYPES, TYPES
    from onepipe.model import CHILDREN, MAPPED, STAGE

    meanings = {column.name: column.meaning for column in (*STAGE, *MAPPED)}
    columns = {"type": "object", "patternProperties": {NAME: {"$ref": "#/$defs/column"}}, "additionalProperties": False}
    parts: Schema = {
        "extends": {"type": "string", "description": "A mapping from which all is taken that is not stated here"},
        "columns": columns | {"description": "Columns of your own, after all others: arr becomes x_arr"},
        "children": _closed({name: _child(child) for name, child in CHILDREN.items()})
        | {"description": "Lists in the record, or details, that become tables of their own"},
        "key": {"type": "string", "description": "The path of the CRM's id, such as id"},
        "fields": _fields(TYPES, meanings),
        "stages": _closed(
            {
                "resource": {"type": "string", "description": "The reference list that holds the stages"},
                "each": {"type": "string", "description": "The list or object in each record to take apart"},
                "fields": _fields(STAGE_TYPES, meanings),
            },
            "resource",
            "fields",
        ),
        "examples": {"type": "array", "items": _example(), "description": "Records, and what must be read from them"},
    }
    whole = _closed({key: parts[key] for key in MAPPING_KEYS})
    whole |= {"anyOf": [{"required": ["extends"]}, {"required": ["key", "fields"]}]}
    return whole | {"title": "onepipe mapping", "$defs": {"field": _field(FIELD_KEYS), "column": _field(COLUMN_KEYS)}}


def _child(child: "Child") -> Schema:
    columns = {
        column.name: {"$ref": "#/$defs/column", "description": f"{column.meaning} ({column.type})"}
        for column in child.columns
    }
    each = {"type": "string", "description": "The list: interests[], interests[].delegates[], @items[idx]"}
    known = _closed({"each": each, "fields": _closed(columns)})
    return {"anyOf": [known, {"type": "null"}], "description": child.comment}  # null takes out what is extended


def _fields(types: dict[str, str], meanings: dict[str, str]) -> Schema:
    columns = {
        name: {"$ref": "#/$defs/field", "description": f"{meanings.get(name, name)} ({type_})"}
        for name, type_ in types.items()
        if name != "extra"
    }
    return _closed(columns)


def _field(allowed: tuple[str, ...]) -> Schema:
    from onepipe.transform import TRANSFORMS

    keys: Schema = {
        "from": TEXTS | {"description": PATH},
        "as": {"enum": sorted(TRANSFORMS), "description": "How it is read, and written back"},
        "values": {"type": ["object", "array"], "description": "Our word: the CRM's word or words; * is any other"},
        "default": {"description": "What stands for an absent value; $currency is the connection's"},
        "unless": {
            "type": "object",
            "maxProperties": 1,
            "description": "NULL where this path holds one of these words",
        },
        "lookup": {"const": "stages", "description": "Take it from the stage found by `by`"},
        "by": TEXTS | {"description": "The columns by which the stage is found"},
        "template": {"type": "string", "description": "Text with {base_url} and paths of the record in braces"},
        "zone": {"type": "string", "description": "The zone of times without one, such as Europe/London"},
        "to": {"type": "string", "description": "Where it is written, if not where it is read"},
        "write": {"type": "boolean", "description": "false: never written back"},
    }
    long = _closed({key: keys[key] for key in allowed})
    short = {"anyOf": [*TEXTS["anyOf"], {"type": "null"}], "description": PATH}  # null takes out what is extended
    return {"anyOf": [short, long]}


def _example() -> Schema:
    return _closed(
        {
            "in": {"type": ["object", "string"], "description": "A record as the CRM sends it"},
            "details": {"type": "object", "description": "What its sub-requests answer, by name"},
            "stages": {"type": "array", "description": "Rows of stages to look up in"},
            "settings": {"type": "object", "description": "currency, base_url, timezone of the connection"},
            "out": {"type": "object", "description": "The columns, and what must be read"},
            "problems": {"type": "array", "description": "The columns whose value cannot be read"},
        },
        "in",
        "out",
    )


def _closed(properties: Schema, *required: str) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, "additionalProperties": False} | needed
