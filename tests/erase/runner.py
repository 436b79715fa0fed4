"""A process that erases a deal, and kills itself as it comes to a step: by the name of a function and how often."""

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import onepipe.erase as erasing
from onepipe.erase import Wanted
from onepipe.project import Project

CONFIG, DEAL, STEP, AFTER = sys.argv[1:5]


def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
    """The function; the process ends before it, or right after it."""

    def dies(*given: Any, **named: Any) -> Any:
        if AFTER == "after":
            call(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return dies


module, _, name = STEP.rpartition(".")  # onepipe.room:Class.method, or onepipe.room:.function
if module:
    owner: Any = import_module(module.partition(":")[0])
    for part in filter(None, module.partition(":")[2].split(".")):
        owner = getattr(owner, part)
    setattr(owner, name, deadly(getattr(owner, name)))
with Project(Path(CONFIG), "onepipe erase") as project:
    erasing.erase(project, Wanted(deal=("overplane", DEAL)), "operator", wait=0.0)
