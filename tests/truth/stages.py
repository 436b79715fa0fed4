"""What the reference data of each simulated CRM is as rows of `stages`, in plain Python."""

from decimal import Decimal
from typing import Any

from onepipe.sandbox.administrate_rules import STAGES, STEPS
from onepipe.sandbox.tactile import STATUSES

Row = dict[str, Any]
COLUMNS = ("stage_id", "stage", "pipeline_id", "pipeline", "position", "probability", "status")


def stages(crm: Any) -> list[Row]:
    """Every stage the CRM names, in its own order."""
    return [dict.fromkeys(COLUMNS) | row for row in READERS[crm.name](crm)]


def administrate(crm: Any) -> list[Row]:
    """One row a step; what kind of stage it belongs to gives the status."""
    words = {"Open": "open", "Won": "won", "Lost": "lost"}
    return [
        {
            "stage_id": str(key),
            "stage": name,
            "position": place,
            "probability": share(odds),
            "status": words[STAGES[stage][1]],
        }
        for place, (key, (name, stage, odds)) in enumerate(STEPS.items(), 1)
    ]


def tactile(crm: Any) -> list[Row]:
    """The statuses by name, where /options tells them."""
    if not crm.options.options_filled:
        return []
    return [
        {
            "stage_id": str(key),
            "stage": name,
            "position": place,
            "status": {"Won": "won", "Lost": "lost"}.get(name, "open"),
        }
        for place, (key, name) in enumerate(STATUSES.items(), 1)
    ]


def capsule(crm: Any) -> list[Row]:
    """The milestones; a complete one is won at 100, lost at 0, and otherwise does not say."""
    return [
        {
            "stage_id": str(one["id"]),
            "stage": one["name"],
            "position": place,
            "probability": share(one["probability"]),
            "status": {100: "won", 0: "lost"}.get(one["probability"]) if one["complete"] else "open",
        }
        for place, one in enumerate(crm.milestones.values(), 1)
    ]


def onautomate(crm: Any) -> list[Row]:
    """Every stage of every pipeline; a stage says nothing of a deal's status."""
    return [
        {
            "stage_id": stage["id"],
            "stage": stage["name"],
            "pipeline_id": pipeline["id"],
            "pipeline": pipeline["name"],
            "position": place,
        }
        for pipeline in crm.pipelines.values()
        for place, stage in enumerate(pipeline["stages"], 1)
    ]


def overplane(crm: Any) -> list[Row]:
    """The sales stages seen on deals; nobody tells their order."""
    seen = sorted({row["sales_stage"] for row in crm.rows.values() if row["sales_stage"]})
    return [{"stage_id": name, "stage": name} for name in seen]


def share(odds: int) -> Decimal:
    """Percent as a fraction of one."""
    return (Decimal(odds) / 100).quantize(Decimal("0.0001"))


READERS = {
    "administrate": administrate,
    "tactile": tactile,
    "capsule": capsule,
    "onautomate": onautomate,
    "overplane": overplane,
}
