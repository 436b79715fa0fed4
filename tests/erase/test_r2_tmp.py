from datetime import datetime, UTC
from onepipe.decode import Record
from onepipe.spool import Spool, segments
from tests.erase.conftest import house  # noqa

def test_other_connections_spool(house):
    desk = house("overplane", "onautomate")
    deal = desk.person()
    desk.sync()
    with desk.project() as project:
        folder = project.warehouse.spool / "onautomate" / "s1"
        spool = Spool(folder)
        spool.add("opportunity", [Record("1", b'{"id":1}', None)], at=datetime.now(UTC))
        spool.flush()
        spool.add("opportunity", [Record("2", b'{"id":2}', None)], at=datetime.now(UTC))
        with project.control.lease("connection:onautomate"):
            desk.erase(deal=("overplane", str(deal)))
            print(list(folder.iterdir()))
            spool.flush()
            assert [1, 2] == [s.number for s in segments(folder)]

def test_old_blocks(house):
    import onepipe.erase as er
    from onepipe.publish import publish
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    real = er.rewrite
    def between(warehouse, **k):
        with desk.project() as project:  # another process: the daemon publishes
            publish(project.warehouse, project.config.warehouse, project.views, print)
        return real(warehouse, **k)
    er.rewrite = between
    try:
        desk.erase(deal=("overplane", str(deal)))
    finally:
        er.rewrite = real
    assert [] == desk.traces()
