"""One measured process: a sync of one connection, from the start of the run to the published warehouse."""

import argparse
import json
import time
from pathlib import Path

from onepipe import logs
from onepipe.project import Project
from onepipe.run import sync
from onepipe.warehouse.work import published

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("connections", nargs="*")
    asked = parser.parse_args()
    logs.configure(level="error")
    with Project(asked.config, command="onepipe sync") as project:
        began = time.perf_counter()
        report = sync(project, asked.connections)
        seconds = time.perf_counter() - began
        if report.status != "complete":
            raise SystemExit(json.dumps(report.document()))
        with published(project.config.warehouse) as db:
            rows = db.one("SELECT count(*) FROM opportunities")
    print(json.dumps({"inside": seconds, "rows": rows}))
