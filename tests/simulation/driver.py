"""A process that pulls a project and is killed, or finds the disk full, at a step that the command line names.

driver.py CONFIG [kill STEP N | room BYTES] [paged] [KEY=VALUE options of the run, as JSON]

kill: SIGKILL to itself when it comes by the step for the Nth time. room: no file may grow beyond so many bytes. paged:
each page is made durable and merged by itself. Prints the report as JSON; exits as the command does.
"""

import json
import os
import resource
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import onepipe.pull.merge
import onepipe.spool
from onepipe import logs
from onepipe.errors import OnepipeError
from onepipe.project import Project
from onepipe.run import Options, sync
from tests.simulation.steps import acting, swapped


def die() -> None:
    """End as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(config: str, *words: str) -> int:
    """One run; its exit code."""
    logs.configure("json", level="error")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    with ExitStack() as stack:
        if words[:1] == ("kill",):
            stack.enter_context(acting(words[1], int(words[2]), die))
        if words[:1] == ("room",):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(words[1]), int(words[1])))
        if "paged" in words:
            stack.enter_context(swapped(onepipe.spool, "PUT_IN_PLACE_AFTER", 0.0))
            stack.enter_context(swapped(onepipe.pull.merge, "AT_ROWS", 1))
        try:
            project = stack.enter_context(Project(Path(config), "onepipe sync"))
            report = sync(project, (), Options(**{name: json.loads(value) for name, value in options.items()}))
        except OnepipeError as error:
            sys.stdout.write(json.dumps({"error": {"kind": error.kind, "message": str(error), "hint": error.hint}}))
            return 1
    sys.stdout.write(json.dumps(report.document()))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
