"""Records that could not be kept, for want of an id or of readable text: once in `problems`, never forgotten."""

from collections.abc import Sequence

from onepipe.spool import Segment
from onepipe.warehouse.database import Database


def note(db: Database, connection: str, run_id: str, segments: Sequence[Segment]) -> tuple[int, int]:
    """Records without a usable id, kept as problems once: how many are new, and how many no earlier run has met."""
    values = {"connection": connection, "run_id": run_id}
    before, unkept = db.one("SELECT count(*) FROM problems"), 0
    for text in {item for segment in segments for item in segment.meta.unreadable}:
        db.run(
            "INSERT INTO problems "
            "SELECT $connection, NULL, 'source_id', $text, 'a record without a usable id', $run_id, "
            "md5($text) WHERE NOT EXISTS (SELECT 1 FROM problems WHERE connection = $connection "
            "AND payload_hash = md5($text))",
            values | {"text": text},
        )
        unkept += db.one(
            "SELECT count(*) FROM problems WHERE connection = $connection AND payload_hash = md5($text) "
            "AND run_id = $run_id",
            values | {"text": text},
        )
    return int(db.one("SELECT count(*) FROM problems")) - int(before), unkept
