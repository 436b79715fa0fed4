"""A process that syncs a project; killed, waited for, or (second word) not allowed files of more than so many bytes."""

import resource
import sys
from pathlib import Path

from onepipe.errors import OnepipeError
from onepipe.project import Project
from onepipe.run import Options, sync

if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    with Project(Path(sys.argv[1]), "onepipe sync") as project:
        report = sync(project, (), Options())
except OnepipeError as error:
    sys.stdout.write(f"{error.kind} {error.message}\n")
    sys.exit(1)
sys.stdout.write(f"{report.document()}\n")
sys.exit(report.exit_code)
