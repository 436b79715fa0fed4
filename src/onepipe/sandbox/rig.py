"""A simulated CRM in the hands of the connector contract suite."""

from datetime import UTC, datetime

from onepipe.contract.rig import Asked, Rig, Told
from onepipe.sandbox.crm import Call
from onepipe.sandbox.server import CRMS

# The fields people type into, by the names `insert` takes.
TYPED = {
    "administrate": ("name",),
    "tactile": ("name", "description"),
    "capsule": ("name", "description"),
    "onautomate": ("name",),
    "overplane": ("title",),
}


def rig(name: str, **options: object) -> Rig:
    """The rig of the simulated CRM `name`, with `options` switched on. Raises KeyError for a CRM there is none of."""
    crm = CRMS[name](0, 7, datetime.now(UTC))
    crm.options.apply(options)

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

    return Rig(dict(crm.credentials), fill, remove, answer)
