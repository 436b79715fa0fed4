"""The tables of what belongs to a deal, and their history: views over the lists that each version keeps.

`line_items` is of the current versions, `line_item_history` of all; nothing is stored twice. A version whose list is
empty, or was never asked for, gives no row.
"""

from onepipe.model import CHILDREN, POSITION, VERSION, Child, Column
from onepipe.warehouse.reporting import View
from onepipe.warehouse.schema import quoted

_OF = (
    Column("connection", "VARCHAR", "The connection's name in config.yaml"),
    Column("source_id", "VARCHAR", "The opportunity, also an archived, closed or deleted one"),
)
_LAST = ("quotes", "documents", "notes")  # known by their own ids: their place among others says little
_WHEN = {column.name: column for column in VERSION}
_HELD = (  # of a version
    Column("version", "BIGINT", "Which version of the opportunity they belonged to"),
    _WHEN["valid_from"],
    _WHEN["valid_to"],
)
_TAG = Column("tag", "VARCHAR", "The tag")


def views() -> tuple[View, ...]:
    """Every one of them, with comments for itself and its columns."""
    now = [_view(child) for child in CHILDREN.values()]
    then = [_history(child) for child in CHILDREN.values()]
    tags = View(
        "tags",
        "The tags of every opportunity as it is now, one a row",
        (*_OF, _TAG),
        "SELECT connection, source_id, unnest(tags) AS tag FROM store.current WHERE len(tags) > 0",
    )
    return (*now, tags, *then)


def _columns(child: Child) -> tuple[Column, ...]:
    last = child.name in _LAST
    return (*_OF, *child.columns, POSITION) if last else (*_OF, POSITION, *child.columns)


def _view(child: Child) -> View:
    rows = f"SELECT connection, source_id, unnest({child.name}) AS one FROM store.current WHERE len({child.name}) > 0"
    columns = _columns(child)
    return View(child.name, child.comment, columns, f"SELECT {_selected(columns)} FROM ({rows})")


def _history(child: Child) -> View:
    name = f"{child.name.removesuffix('s')}_history"
    versions = " UNION ALL ".join(
        f"SELECT connection, source_id, version, valid_from, {until} AS valid_to, unnest({child.name}) AS one "
        f"FROM store.{table} WHERE len({child.name}) > 0"
        for table, until in (("closed", "valid_to"), ("current", "NULL::TIMESTAMPTZ"))
    )
    columns = (*_columns(child), *_HELD)
    comment = f"{child.comment}, in every version of it"
    return View(name, comment, columns, f"SELECT {_selected(columns)} FROM ({versions})")


def _selected(columns: tuple[Column, ...]) -> str:
    outer = {column.name for column in (*_OF, *_HELD)}
    return ", ".join(
        quoted(column.name) if column.name in outer else f"one.{quoted(column.name)} AS {quoted(column.name)}"
        for column in columns
    )
