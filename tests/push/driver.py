"""A process that pushes, and is killed at a step that the command line names.

driver.py CONFIG STEP N apply | call CONNECTION ACTION ID [KEY=VALUE]...

SIGKILL to itself when it comes by the step for the Nth time. Prints the states it came to; exits 0.
"""

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from onepipe import logs
from onepipe.project import Project
from onepipe.push import apply
from onepipe.push.calls import call
from tests.simulation.steps import Step, wrapped

# In the order in which a push comes by.
SENDING: dict[str, Step] = {
    "before the attempt is written down": Step("onepipe.control.outbox", "Outbox.attempt", "before"),
    "before the request": Step("onepipe.control.outbox", "Outbox.attempt"),
    "before the answer is kept": Step("onepipe.connector.verbs", "Connector.send"),
    "after the answer was kept": Step("onepipe.control.outbox", "Outbox.answered"),
    "before it is settled": Step("onepipe.control.outbox", "Outbox.settle", "before"),
    "after it was settled": Step("onepipe.control.outbox", "Outbox.settle"),
}
LANDING: dict[str, Step] = {
    "before the journal is landed": Step("onepipe.journal", "land", "before"),
    "in the middle of landing": Step("onepipe.warehouse.pushed", "land"),
    "before the commit": Step("onepipe.warehouse.work", "Warehouse.commit", "before"),
    "after the commit": Step("onepipe.warehouse.work", "Warehouse.commit"),
    "before the rename": Step("onepipe.publish", "_put_in_place", "before"),
    "after the rename": Step("onepipe.publish", "_put_in_place"),
}


def main(config: str, step: str, nth: str, verb: str, *words: str) -> int:
    """One push."""
    logs.configure("json", level="error")
    met = 0

    def come() -> None:
        nonlocal met
        met += 1
        if met == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    with ExitStack() as stack:
        stack.enter_context(wrapped((SENDING | LANDING)[step], come))
        project = stack.enter_context(Project(Path(config), "onepipe push apply"))
        if verb == "apply":
            states = [one.state for one in apply(project).items]
        else:
            name, action, record, *given = words
            states = [call(project, name, action, record, dict(one.split("=", 1) for one in given)).state]
    sys.stdout.write(json.dumps(states))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
