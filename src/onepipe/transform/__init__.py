"""Named value transforms: how the text a CRM sent becomes a canonical value, and how that is written back.

Each is a DuckDB macro `as_NAME`, so that the SQL of a mapping reads like the mapping. Reading never raises and never
rounds: what cannot be read exactly is NULL, and the compiled SQL makes a problem of it. Writing is Python.
Law: `read(write(read(s))) == read(s)` for every transform that has a `write`.
"""

import re

from onepipe.transform.form import Transform
from onepipe.transform.table import TRANSFORMS
from onepipe.transform.tools import TOOLS

__all__ = ["TRANSFORMS", "Transform", "macros"]


def macros(used: str | None = None) -> list[str]:
    """The statements that create the macros, each after those it leans on; safe to run again (0.7 ms each).

    With `used`, a text of SQL, only those that it names, directly or through another.
    """
    bodies = dict(TOOLS)
    for one in TRANSFORMS.values():
        bodies[one.head(one.macro)] = one.sql
        if one.present:
            bodies[one.head(f"{one.macro}_sent")] = f"CASE WHEN {one.present} THEN x END"
    wanted = {head for head in bodies if used is None or _names(used, head)}
    for head in reversed(bodies):  # a macro names only those above it
        if any(_names(bodies[above], head) for above in wanted):
            wanted.add(head)
    return [f"CREATE OR REPLACE TEMP MACRO {head} AS {body}" for head, body in bodies.items() if head in wanted]


def _names(sql: str, head: str) -> bool:
    return re.search(rf"\b{head.partition('(')[0]}\(", sql) is not None
