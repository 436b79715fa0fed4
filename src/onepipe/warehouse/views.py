"""The views and table macros people query, made again at every publish; each with its comments."""

from onepipe.warehouse.database import Database
from onepipe.warehouse.parties import PARTIES
from onepipe.warehouse.passage import AGING, SLIPPAGE, STAGE_CONVERSION, STAGE_DURATION, STAYS
from onepipe.warehouse.pipeline import FORECAST, PIPELINE_AS_OF, PIPELINE_BY_STAGE, WIN_RATE
from onepipe.warehouse.reporting import CALENDAR, View
from onepipe.warehouse.schema import literal, quoted
from onepipe.warehouse.waterfall import PIPELINE_WATERFALL

REPORTS = (
    *(CALENDAR, PIPELINE_BY_STAGE, PIPELINE_AS_OF, PIPELINE_WATERFALL, FORECAST, WIN_RATE),
    *(STAGE_CONVERSION, STAGE_DURATION, AGING, SLIPPAGE),
    *PARTIES,
)
DEFINED = (STAYS, REPORTS)  # all there is to compare with what a file has


def create(db: Database) -> None:
    """Make them; `deals` and `open_deals` are there already."""
    db.run(f"CREATE OR REPLACE VIEW store.stays AS {STAYS}")
    for view in REPORTS:
        _create(db, view)


def _create(db: Database, view: View) -> None:
    if view.parameters:  # DuckDB keeps no comments on the columns of a macro
        db.run(f"CREATE OR REPLACE MACRO {view.name}({', '.join(view.parameters)}) AS TABLE {view.query}")
        db.run(f"COMMENT ON MACRO TABLE {view.name} IS {literal(view.comment)}")
        return
    db.run(f"CREATE OR REPLACE VIEW {view.name} AS {view.query}")
    db.run(f"COMMENT ON VIEW {view.name} IS {literal(view.comment)}")
    for column in view.columns:
        db.run(f"COMMENT ON COLUMN {view.name}.{quoted(column.name)} IS {literal(column.meaning)}")
