from datetime import datetime, UTC
from onepipe.decode import Record
from onepipe.spool import Spool, segments
from tests.erase.conftest import house  # noqa

def test_other_connections_spool(house):
    desk = house("overplane", "onautomate")
    deal = desk.person()
    desk.sync()
    folder = desk.folder / "state" / "spool" / "onautomate" / "s1"
    print([p for p in desk.folder.iterdir()])
    spool = Spool(folder)
    spool.add("opportunity", [Record("1", b'{"id":1}', None)], at=datetime.now(UTC))
    spool.flush()
    spool.add("opportunity", [Record("2", b'{"id":2}', None)], at=datetime.now(UTC))
    with desk.project() as project:
        with project.control.lease("connection:onautomate"):
            desk.erase(deal=("overplane", str(deal)))
            spool.flush()
            assert [1, 2] == [s.number for s in segments(folder)]
