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
    print(error.kind, error.message)
    sys.exit(1)
print(report.document())
sys.exit(report.exit_code)
