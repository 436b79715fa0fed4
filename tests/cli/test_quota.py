"""`quota`: what is used and what holds a connection back, before and after a person's decision."""

import time
from datetime import UTC, datetime, timedelta

from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

HELD = "The CRM said to wait: GET /api/opportunity was answered 429"


def hold(place: Place, name: str, connector: str, seconds: float) -> datetime:
    """As a process does that is told to wait."""
    with Control(place.folder / ".onepipe") as control:
        control.quotas.allowance(name, connector).refused(time.time(), seconds, HELD, slower=True)
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_it_counts_what_every_command_sent(place: Place) -> None:
    """A sync, a check and a get are counted; Capsule's own word on its limit replaces the documented one."""
    assert 0 == place.run("sync").code
    before = {one["connection"]: one for one in place.run("quota", "--json").json["connections"]}
    assert 0 == place.run("check").code
    assert 0 == place.run("get", "administrate", "document_templates").code
    after = {one["connection"]: one for one in place.run("quota", "--json").json["connections"]}
    used = [[one[name]["quotas"][0]["used"] for one in (before, after)] for name in ("administrate", "capsule")]
    assert used[0][0] > 0
    assert [2, 1] == [later - earlier for earlier, later in used]
    assert {"connection", "connector", "reserve", "quotas", "held_until", "held_why", "rate", "next_scan_at"} == set(
        after["capsule"]
    )
    (quota,) = after["administrate"]["quotas"]
    assert {"scope": "address", "requests": 6000, "seconds": 300, "told_by_crm": False, "ours": 3000} == {
        key: quota[key] for key in ("scope", "requests", "seconds", "told_by_crm", "ours")
    }
    assert after["capsule"]["quotas"][0]["told_by_crm"]
    lines = place.run("quota", "administrate").out.splitlines()
    assert "administrate  6,000 requests in 5 min from one address  3,000" in lines[2]


def test_a_hold_is_told_kept_and_dropped(place: Place, crms: Sandbox) -> None:
    """A connection that is held back asks nothing, in any process, until it is time or a person says so."""
    assert 0 == place.run("sync").code
    until = hold(place, "capsule", "capsule", 3600)
    asked = len(crms["capsule"].log)
    told = place.run("quota")
    assert f"capsule is held back until {until:%Y-%m-%d %H:%M}" in told.out
    assert f"{HELD}. The daemon goes on by itself then; `onepipe quota --forget capsule`" in told.out
    assert "capsule is asked at most 5 times a second" in told.out
    sync = place.run("sync", "capsule", "--json")
    (one,) = sync.json["connections"]
    assert (1, "rate_limited", asked) == (sync.code, one["error"]["kind"], len(crms["capsule"].log))
    assert HELD in one["error"]["message"]
    assert f"{until:%Y-%m-%d %H:%M}" in one["error"]["message"]
    assert 0 == place.run("quota", "--forget", "capsule").code
    assert "held back" not in place.run("quota").out
    assert 0 == place.run("sync", "capsule").code


def test_forget_needs_a_name(place: Place) -> None:
    """Nobody drops all holds by leaving a word out."""
    told = place.run("quota", "--forget")
    assert (2, True) == (told.code, "nothing was changed" in told.err)


def test_the_reserve_is_the_connections_own(place: Place, crms: Sandbox) -> None:
    """`reserve` says how much of a quota is left to others; mistakes are told at their place."""
    write(place.folder, connection(crms, "administrate", reserve="90%"))
    (one,) = place.run("quota", "--json").json["connections"]
    assert (0.9, 600) == (one["reserve"], one["quotas"][0]["ours"])
    for wrong in ("96%", "0.5", "half"):
        write(place.folder, connection(crms, "administrate", reserve=wrong))
        told = place.run("quota")
        assert (2, True) == (told.code, "config.yaml:2:" in told.err and "administrate.reserve: " in told.err)
