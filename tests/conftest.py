"""What holds for all tests."""

import os
from collections import defaultdict
from typing import Any
from zlib import crc32

import pytest
from hypothesis import settings

# A shared machine may be slow at any moment, so no example has a deadline; a failing one prints how to get it again.
# "soak" is what `make soak-properties` asks for; simulations have a soak of their own, `make soak`.
settings.register_profile("usual", deadline=None, print_blob=True)
settings.register_profile("soak", settings.get_profile("usual"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

BY_TURNS = ("behaviours", "push", "engine", "truth")  # whose tests each load a project
OF_A_CRM = ("crm", "way")  # arguments that name one


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What holds for each CRM is tried with one in every run of the tests, another one for each test, and with all of
    them in those that take long.
    """
    cases: dict[str, list[tuple[str, pytest.Item]]] = defaultdict(list)
    for item in items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        named = [str(params[name]) for name in OF_A_CRM if name in params]
        if named and item.path.parent.name in BY_TURNS:
            cases[item.nodeid.partition("[")[0]].append((named[0], item))
    for name, found in cases.items():
        crms = sorted({crm for crm, _ in found})
        turn = crms[crc32(name.encode()) % len(crms)]
        for crm, item in found:
            if crm != turn:
                item.add_marker(pytest.mark.long)
