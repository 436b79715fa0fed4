"""Help for DuckDB's JSON reader where it would be wrong, in what is read only: raw stays as it was sent.

It rounds long numbers, and takes the first of a key that stands twice, where everybody else takes the last.
"""

from collections.abc import Callable, Sequence

from onepipe.warehouse.database import Database

Exact = Callable[[bytes], bytes]  # a payload rewritten so that no number loses digits and no key stands twice
# A number, not a text of digits, that may hold more of them than a double carries: the JSON reader passes through one.
LONG_NUMBER = r"(^|[:,\[\s-])[0-9.]{17}"

# One look at the keys of each record costs 1 us; whether one stands twice is then asked once for each set of keys.
_SHAPE = "try(json_keys(payload))::VARCHAR"
_LOOK = """
    SELECT shape, len(json_keys(example)) > len(list_distinct(json_keys(example))) AS twice, long FROM (
        SELECT shape, CASE WHEN shape IS NOT NULL THEN any_value(payload) END AS example, bool_or({long}) AS long
        FROM (SELECT payload, {shape} AS shape FROM {relation}) GROUP BY shape)
    WHERE twice OR long"""


def payloads(db: Database, rewrite: Exact, relation: str, *, exact: bool) -> None:
    """Rewrite the payloads of a relation that need it; `exact`: some may hold long numbers."""
    suspects, values = _suspects(db, relation, exact)
    if suspects:
        _rewrite(db, rewrite, relation, suspects, values)


def rewritten(db: Database, rewrite: Exact, relation: str) -> int:
    """`rewritten` (seq, payload): those payloads of a relation that need it, anew; how many. The relation stays."""
    db.run("CREATE OR REPLACE TEMP TABLE rewritten (seq BIGINT, payload VARCHAR)")
    suspects, values = _suspects(db, relation, exact=True)
    rows = db.run(f"SELECT seq, payload FROM {relation} WHERE {suspects}", values) if suspects else []
    exact = [(seq, payload, rewrite(payload.encode()).decode()) for seq, payload in rows]
    different = [(seq, now) for seq, before, now in exact if now != before]
    db.fill("rewritten", different)
    return len(different)


def _suspects(db: Database, relation: str, exact: bool) -> tuple[str, dict[str, list[str]] | None]:
    """A condition that holds for the payloads that may need it, and what it binds; none where no payload does."""
    long = f"regexp_matches(payload, '{LONG_NUMBER}')"
    look = _LOOK.format(relation=relation, shape=_SHAPE, long=long if exact else "false")
    rows = db.run(look)
    twice = [shape for shape, doubled, _ in rows if doubled]
    suspects = [f"{_SHAPE} IN (SELECT unnest($twice::VARCHAR[]))"] if twice else []
    suspects += [long] if any(has_long for _, _, has_long in rows) else []
    return " OR ".join(suspects), {"twice": twice} if twice else None


def details(db: Database, rewrite: Exact, query: str, wanted: Sequence[str]) -> None:
    """`told_details`: of a query (detail, source_id, payload) what was answered of `changed` to the wanted details."""
    db.run(
        f"CREATE OR REPLACE TEMP TABLE told_details AS SELECT detail, source_id, payload FROM ({query}) "
        "WHERE source_id IN (SELECT source_id FROM changed) AND detail IN (SELECT unnest($wanted::VARCHAR[]))",
        {"wanted": list(wanted)},
    )
    _rewrite(db, rewrite, "told_details", f"regexp_matches(payload, '{LONG_NUMBER}')")


def _rewrite(
    db: Database, rewrite: Exact, relation: str, suspects: str, values: dict[str, list[str]] | None = None
) -> None:
    for key, payload in db.run(f"SELECT rowid, payload FROM {relation} WHERE {suspects}", values):
        exact = rewrite(payload.encode()).decode()
        if exact != payload:
            db.run(f"UPDATE {relation} SET payload = ? WHERE rowid = ?", [exact, key])
