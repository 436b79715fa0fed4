"""One measured process: a sync of one connection, from the start of the run to the published warehouse."""

import argparse
import json
import time
from pathlib import Path

from onepipe.project import Project
from onepipe.run import sync
from onepipe.warehouse.work import published

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    asked = parser.parse_args()
    with Project(asked.config, command="onepipe sync") as project:
        began, cpu = time.perf_counter(), time.process_time()
        report = sync(project)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        with published(project.config.warehouse) as db:
            rows = db.one("SELECT count(*) FROM opportunities")
    told = report.document()
    counts = next(one for one in told["connections"][0]["resources"] if one["resource"] == "opportunity")
    if told["status"] != "complete":
        raise SystemExit(json.dumps(told))
    print(json.dumps({"inside": seconds, "inside_cpu": cpu, "rows": rows, "counts": counts}))
