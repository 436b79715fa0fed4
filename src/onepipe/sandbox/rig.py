"""A simulated CRM in the hands of the connector contract suite."""

from datetime import UTC, datetime
from pathlib import Path

from onepipe.connector import Connector
from onepipe.contract.rig import Asked, Rig, Told, rig_beside
from onepipe.errors import ConfigError
from onepipe.sandbox.server import CRMS
from onepipe.sandbox.wire import Call

# The fields people type into, by the names `insert` takes.
TYPED = {
    "administrate": ("name",),
    "tactile": ("name", "description"),
    "capsule": ("name", "description"),
    "onautomate": ("name",),
    "overplane": ("title",),
}


def rig_for(connector: type[Connector], path: Path) -> Rig:
    """The rig of a connector file: the fake it brings along, else the simulated CRM of its name. Raises ConfigError."""
    try:
        return rig_beside(connector, path)
    except ConfigError:
        if path.stem not in CRMS:
            raise
        return rig(path.stem)


def rig(name: str, **options: object) -> Rig:
    """The rig of the simulated CRM `name`, with `options` switched on. Raises KeyError for a CRM there is none of."""
    crm = CRMS[name](0, 7, datetime.now(UTC))
    crm.options.apply({"rate_limit": 1_000_000_000, **options})  # the suite asks more in a second than any account may

    def fill(count: int, text: str) -> list[str]:
        with crm.lock:
            crm.rows.clear()
            crm.touched()
            return [str(crm.insert(**dict.fromkeys(TYPED[name], text))) for _ in range(count)]

    def remove(record_id: str) -> None:
        crm.delete(next(key for key in crm.rows if str(key) == record_id))

    def answer(asked: Asked) -> Told:
        told = crm.answer(Call(asked.method, asked.raw_path, asked.raw_query, dict(asked.headers), b""))
        return Told(told.status, told.body, dict(told.headers))

    def cap(count: int | None) -> None:
        crm.options.limit_cap = count

    return Rig(dict(crm.credentials), fill, remove, answer, cap=cap)
