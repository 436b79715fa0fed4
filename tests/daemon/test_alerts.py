"""People are told once, in time, without a flood, and by what config.yaml names; nothing that fails there stops us."""

import io
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from onepipe import config as configs
from onepipe import logs
from onepipe.control import Clash, Control
from onepipe.daemon import judging
from onepipe.daemon.alerts import A_DAY, Bulletin, payload
from onepipe.daemon.mail import PAUSES, Mail
from onepipe.daemon.onlooker import Event
from onepipe.daemon.staleness import Staleness
from onepipe.daemon.ways import every, secrets
from onepipe.errors import (
    AuthRefused,
    ConfigError,
    DiskTrouble,
    OnepipeError,
    RateLimited,
    Stopped,
    Suspect,
    Unavailable,
)
from onepipe.report import ConnectionReport
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.watched import Clock, Got, Inbox, inbox, line, state
from tests.test_floors import MODULES, imports, room

EVENTS = ("failed", "suspect", "conflict", "stale", "silent", "paused", "recovered", "published")


@pytest.fixture
def box() -> Iterator[Inbox]:
    with inbox() as made:
        yield made


class Desk:
    """Alerts over a real control file, with a clock of their own; everything goes to one address."""

    def __init__(self, folder: Path, box: Inbox, events: tuple[str, ...] = EVENTS) -> None:
        self.folder, self.box, self.clock = folder, box, Clock()
        self.config = told(folder, {event: {"webhook": box.url(f"/{event}")} for event in events})
        self.begin()

    def begin(self) -> None:
        """As a new process would."""
        self.control = Control(self.folder / ".onepipe", clock=self.clock)
        self.bulletin = Bulletin(self.control.alerts, self.clock)
        self.mail = Mail(self.control.alerts, self.clock)
        ways = every(self.config)
        self.bulletin.reload(ways, [f"c{n}" for n in range(3000)] + ["acme"])
        self.mail.reload(ways)

    def restart(self) -> None:
        self.control.close()
        self.begin()

    def ran(self, status: str = "complete", error: OnepipeError | None = None, name: str = "acme") -> None:
        """A run ended, each with an id of its own."""
        report = ConnectionReport(name, "capsule", self.clock.at, status=status, error=error)  # type: ignore[arg-type]
        judging.judge_run(self.bulletin, report, f"run-{time.monotonic_ns()}", self.clock.at)

    def told(self) -> list[str]:
        """Tell what is to be told, deliver it; the texts of what arrived since last asked."""
        return [one.body["text"] for one in self.bodies()]

    def bodies(self) -> list[Got]:
        self.bulletin.tell()
        while self.mail.deliver():
            pass
        found, self.box.posts[:] = list(self.box.posts), []
        return found


@pytest.fixture
def desk(tmp_path: Path, box: Inbox) -> Iterator[Desk]:
    made = Desk(tmp_path, box)
    yield made
    made.control.close()


def told(folder: Path, on_event: dict[str, Any], connections: dict[str, Any] | None = None) -> configs.Config:
    """A config that tells people of these events."""
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"daemon": {"on_event": on_event}, "connections": connections or {}})
    )
    return configs.load(folder / "config.yaml")


DOWN = Unavailable("The CRM does not answer.", "Look at it")


def test_what_lasts_is_told_once_and_once_when_it_is_over(desk: Desk) -> None:
    """A connection that fails every quarter of an hour says so once; then that it is well again."""
    for _ in range(5):
        desk.ran("failed", DOWN)
        desk.clock.now += 900
    assert ["acme failed: The CRM does not answer."] == desk.told()
    desk.ran("failed", DOWN)
    assert [] == desk.told()
    desk.ran()
    assert ["acme is well again: it was failing since 2026-01-12 12:00 UTC."] == desk.told()
    desk.ran()
    assert [] == desk.told()


def test_a_restart_tells_nothing_twice_and_forgets_nothing(desk: Desk) -> None:
    """What stands is in the control file, and so is what was not delivered yet."""
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    desk.restart()
    desk.ran("failed", DOWN)
    assert ["acme failed: The CRM does not answer."] == desk.told()
    desk.restart()
    desk.ran("failed", DOWN)
    assert [] == desk.told()
    desk.restart()
    desk.ran()
    assert ["recovered"] == [one.body["event"] for one in desk.bodies()]


def test_what_lasts_is_told_again_after_a_day(desk: Desk) -> None:
    """Somebody may have forgotten it; the message says how often and since when."""
    desk.ran("failed", DOWN)
    assert 1 == len(desk.told())
    for _ in range(3):
        desk.clock.now += A_DAY / 3
        desk.ran("failed", DOWN)
    text = "acme failed: The CRM does not answer. This lasts since 2026-01-12 12:00 UTC, 4 times running."
    assert [text] == desk.told()


def test_what_was_over_before_it_was_told_is_not_told(desk: Desk) -> None:
    """Nobody wants to read that something is over of which they never heard: too soon, or not what they asked for."""
    desk.ran("failed", DOWN)
    desk.ran()
    assert [] == desk.told()
    desk.config = told(desk.folder, {"recovered": {"webhook": desk.box.url()}})
    desk.restart()
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    desk.ran()
    assert [] == desk.told()


@pytest.mark.parametrize(
    ("status", "error"),
    [("partial", RateLimited("Wait.")), ("failed", Stopped("The run was told to end.")), ("skipped", None)],
)
def test_waiting_is_no_failure(desk: Desk, status: str, error: OnepipeError | None) -> None:
    """A CRM that says wait, a daemon that ends, a connection that is paused: nobody has to do anything."""
    desk.ran(status, error)
    assert [] == desk.told()


def test_each_trouble_has_its_event(desk: Desk) -> None:
    """A sweep that is not believed is suspect; a run that is not whole has failed; one complete run ends both."""
    desk.ran("partial", Suspect("A sweep did not find 12 deals."))
    desk.ran("partial", DOWN, "c1")
    assert ["failed", "suspect"] == sorted(one.body["event"] for one in desk.bodies())
    desk.ran()
    desk.ran(name="c1")
    assert {"acme", "c1"} == {one.body["connection"] for one in desk.bodies()}


def test_a_refused_credential_is_told_as_paused_alone(desk: Desk) -> None:
    """The daemon pauses the connection and says so; that its run failed, too, is no second message."""
    desk.ran("failed", AuthRefused("The token is refused."))
    paused = Event(event="paused", at=desk.clock.at, connection="acme", text="acme is left alone", kind="auth")
    desk.bulletin.happened(paused)
    assert ["paused"] == [one.body["event"] for one in desk.bodies()]
    desk.ran()
    assert ["recovered"] == [one.body["event"] for one in desk.bodies()]


def test_two_thousand_failures_are_a_few_messages(desk: Desk) -> None:
    """A fleet whose CRM is down does not send two thousand messages; a late one is not lost all the same."""
    for number in range(2000):
        desk.ran("failed", DOWN, f"c{number}")
    (body,) = [one.body for one in desk.bodies()]
    assert (2000, None, "failed") == (body["details"]["count"], body["connection"], body["event"])
    assert "2000 connections: c0, c1, c10" in body["text"]
    desk.ran("failed", DOWN)
    assert [] == desk.told()
    desk.clock.now += 60
    assert ["acme"] == [one.body["connection"] for one in desk.bodies()]


def test_a_trickle_is_told_singly_until_it_is_a_flood(desk: Desk) -> None:
    """Ten in a minute are ten messages; what comes beyond is one more when the minute is over."""
    for number in range(25):
        desk.ran("failed", DOWN, f"c{number}")
        desk.bulletin.tell()
        desk.clock.now += 1
    assert 10 == len(desk.told())
    desk.clock.now += 40
    (body,) = [one.body for one in desk.bodies()]
    assert 15 == body["details"]["count"]


def test_a_message_says_all_that_a_program_needs(desk: Desk) -> None:
    """The shape of the payload; its text reads by itself, and its id is the request's key, the same for every try."""
    desk.box.answers = [503]
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    desk.mail.deliver()
    desk.clock.now += PAUSES[0]
    desk.mail.deliver()
    first, second = desk.box.posts
    keys = ("event", "connection", "at", "text", "hint", "kind", "run_id", "details", "id", "onepipe_version")
    assert set(keys) == first.body.keys()
    assert ("failed", "acme", "unavailable", "2026-01-12T12:00:00Z") == tuple(
        first.body[key] for key in ("event", "connection", "kind", "at")
    )
    assert first.body == second.body
    assert {first.body["id"]} == {first.headers["idempotency-key"], second.headers["idempotency-key"]}


def test_a_way_that_fails_is_tried_a_few_times_and_given_up(desk: Desk) -> None:
    """It is logged each time, without the address, which is a secret; nothing else waits for it."""
    told = io.StringIO()
    logs.configure("json", stream=told)
    logs.add_secrets(secrets(desk.config))
    desk.box.answers = [500] * 9
    desk.ran("failed", DOWN)
    assert 1 == len(desk.told())
    for pause in PAUSES:
        desk.clock.now += pause - 1
        assert [] == desk.told()
        desk.clock.now += 1
        assert 1 == len(desk.told())
    desk.clock.now += A_DAY / 2
    assert [] == desk.told()
    lines = [json.loads(one) for one in told.getvalue().splitlines()]
    assert ["warning"] * 4 + ["error"] == [one["level"] for one in lines]
    assert {f"the webhook at 127.0.0.1:{desk.box.port} answered 500"} == {one["error"] for one in lines}
    assert (4, 1) == (desk.mail.results["failed", "failed"], desk.mail.results["failed", "given_up"])


def test_a_redirect_is_not_followed(desk: Desk) -> None:
    """A message goes where config.yaml says, and nowhere else."""
    desk.box.answers = [302]
    desk.ran("failed", DOWN)
    assert ["/failed"] == [one.path for one in desk.bodies()]
    assert 1 == desk.mail.results["failed", "failed"]


def test_a_way_that_is_taken_out_of_the_config_gets_nothing_more(desk: Desk) -> None:
    """What waited for it is dropped; a new way hears of what stands."""
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    desk.config = told(desk.folder, {"suspect": {"webhook": desk.box.url()}})
    desk.restart()
    assert [] == desk.told()
    desk.ran("failed", DOWN, "c1")
    desk.config = told(desk.folder, {"failed": {"webhook": desk.box.url()}})
    desk.restart()
    assert [] == desk.told()
    desk.ran("failed", DOWN, "c1")
    assert ["c1"] == [one.body["connection"] for one in desk.bodies()]


def test_a_connection_that_is_gone_is_told_of_no_more(desk: Desk) -> None:
    """Neither as well again nor as still failing."""
    desk.ran("failed", DOWN)
    assert 1 == len(desk.told())
    desk.bulletin.reload(every(desk.config), ["c1"])
    desk.clock.now += A_DAY
    assert [] == desk.told()
    assert [] == desk.control.alerts.notices()


def test_a_crms_address_is_no_webhook(tmp_path: Path, box: Inbox) -> None:
    """Nothing but a push writes to a CRM, so an address of one is refused, whatever its path."""
    crm = {
        "acme": {"connector": "capsule", "base_url": f"http://127.0.0.1:{box.port}/api", "credentials": {"token": "x"}}
    }
    config = told(tmp_path, {"failed": {"webhook": box.url()}}, crm)
    (way,) = every(config)["failed"]
    with pytest.raises(ConfigError, match="is the address of acme's CRM"):
        way.deliver({"id": "1"})
    assert [] == box.posts


def test_new_conflicts_are_told_once(desk: Desk) -> None:
    """One message for all that a run opened; a restart says nothing of them, a further one is said alone."""
    meet(desk, "1", "2")
    judging.judge_conflicts(desk.bulletin, desk.control, desk.clock.at)
    (body,) = [one.body for one in desk.bodies()]
    assert (["1", "2"], 2) == (body["details"]["conflicts"], body["details"]["open"])
    desk.restart()
    judging.judge_conflicts(desk.bulletin, desk.control, desk.clock.at)
    assert [] == desk.told()
    meet(desk, "3")
    judging.judge_conflicts(desk.bulletin, desk.control, desk.clock.at)
    (text,) = desk.told()
    assert "a new conflict waits" in text and "3 are open" in text


def meet(desk: Desk, *ids: str) -> None:
    for source_id in ids:
        clash = Clash(connection="acme", source_id=source_id, draft=None, kind="field", field="name", slot="name")
        desk.control.conflicts.meet("acme", source_id, [clash])


def test_a_publish_is_told_once(desk: Desk) -> None:
    """By its generation: a daemon that starts again publishes nothing new."""
    for _ in range(2):
        now = state(published=12, published_at=desk.clock.at)
        judging.judge_published(desk.bulletin, desk.control, now, 0.4, desk.clock.at)
        desk.restart()
    assert ["The warehouse was published: generation 12, in 0.4 seconds."] == desk.told()


def pass_by(desk: Desk, staleness: Staleness, seconds: float, **changed: Any) -> None:
    """Look every half minute, as the daemon does."""
    end = desk.clock.now + seconds
    while desk.clock.now < end:
        desk.clock.now += 30
        judging.judge_state(desk.bulletin, staleness, state(line(**changed)), 3, desk.clock.at)


def test_a_connection_without_success_for_three_intervals_is_stale(desk: Desk) -> None:
    """Not before; once; and over with its next success, also where that was a run by hand."""
    staleness = Staleness()
    pass_by(desk, staleness, 2700)
    assert [] == desk.told()
    pass_by(desk, staleness, 600, place="held", why="The CRM said to wait")
    (text,) = desk.told()
    assert "no run was complete since 2026-01-12 12:00 UTC, for more than 3 intervals. It is held: The CRM" in text
    assert frozenset({"acme"}) == staleness.names
    pass_by(desk, staleness, 600, last_success=desk.clock.at)
    assert ["acme is well again: it was stale since 2026-01-12 12:45 UTC."] == desk.told()
    assert frozenset() == staleness.names


def test_a_machine_that_slept_is_not_stale_all_over(desk: Desk) -> None:
    """After a week in a suitcase everything is late; what is caught up within a quarter of an hour is no news."""
    staleness = Staleness()
    pass_by(desk, staleness, 60)
    desk.clock.now += 7 * A_DAY
    pass_by(desk, staleness, 840)
    assert [] == desk.told()
    pass_by(desk, staleness, 120)
    assert 1 == len(desk.told())


def test_a_clock_set_back_makes_nobody_stale(desk: Desk) -> None:
    """Its last success is in the future then, and it is not late."""
    staleness = Staleness()
    pass_by(desk, staleness, 60)
    desk.clock.now -= 3600
    pass_by(desk, staleness, 3600)
    assert [] == desk.told()


def test_a_paused_connection_is_told_as_paused_and_not_as_stale(desk: Desk) -> None:
    """Whoever paused it; it is well again with its next complete run."""
    staleness = Staleness()
    pass_by(desk, staleness, 9000, place="paused", why="by ann: the CRM moves")
    assert ["acme is paused: by ann: the CRM moves"] == desk.told()
    desk.ran()
    assert ["recovered"] == [one.body["event"] for one in desk.bodies()]


def command(folder: Path, *words: str) -> Any:
    """The one way of a config that runs this command."""
    return every(told(folder, {"failed": {"command": list(words)}}))["failed"][0]


def body(**changed: Any) -> dict[str, Any]:
    return payload(Event(event="failed", at=Clock().at, connection="acme; rm -rf /", text="$(touch hacked)", **changed))


def test_a_command_is_given_the_event_and_no_shell_sees_it(tmp_path: Path) -> None:
    """JSON on its input, the event and the connection in its environment; what they hold is never a command."""
    words = ("sh", "-c", 'cat > got; printf "%s|%s" "$ONEPIPE_EVENT" "$ONEPIPE_CONNECTION" > names')
    sent = body()
    command(tmp_path, *words).deliver(sent)
    assert sent == json.loads((tmp_path / "got").read_text())
    assert "failed|acme; rm -rf /" == (tmp_path / "names").read_text()
    assert not (tmp_path / "hacked").exists()


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    """Its code and the end of what it said; a program that is not there is named."""
    with pytest.raises(Unavailable, match="ended with 3: no mailer here"):
        command(tmp_path, "sh", "-c", "echo no mailer here >&2; exit 3").deliver(body())
    with pytest.raises(Unavailable, match="no-such-program could not be started"):
        command(tmp_path, "no-such-program").deliver(body())
    with pytest.raises(Unavailable) as loud:
        command(tmp_path, "sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 1").deliver(body())
    assert len(loud.value.message) < 700


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """After its time nothing of it runs any more."""
    way = command(tmp_path, "sh", "-c", "sleep 300 & echo $! > child; sleep 300")
    with pytest.raises(Unavailable, match=r"took longer than 0.5 seconds"):
        way.deliver(body(), 0.5)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_command_leaves_running_holds_nobody(tmp_path: Path) -> None:
    """A mailer may go into the background with our pipe open."""
    began = time.monotonic()
    command(tmp_path, "sh", "-c", "sleep 30 & exit 0").deliver(body())
    assert time.monotonic() - began < 20


def test_a_thread_delivers_and_is_no_burden_at_the_end(desk: Desk) -> None:
    """What is due when the daemon ends is delivered still."""
    mail = Mail(desk.control.alerts, time.time)
    mail.reload(every(desk.config))
    desk.clock.now = time.time()
    mail.start()
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    mail.wake()
    assert "acme" == desk.box.wait_for(1)[0].body["connection"]
    desk.ran("failed", DOWN, "c1")
    desk.bulletin.tell()
    mail.close()
    assert 2 == len(desk.box.posts)


def test_a_full_disk_is_told_though_nothing_can_be_written(desk: Desk) -> None:
    """The message leaves from memory, and once."""
    desk.ran("failed", DiskTrouble("The disk is full."))
    desk.control.close()
    with pytest.raises(DiskTrouble):
        desk.bulletin.tell()
    desk.mail.hand_over(desk.bulletin.take_messages())
    for _ in range(2):
        with pytest.raises(DiskTrouble):
            desk.mail.deliver()
    assert ["acme failed: The disk is full."] == [one.body["text"] for one in desk.box.posts]
    desk.begin()


def test_what_was_sent_and_cannot_be_ticked_off_is_not_sent_again(desk: Desk) -> None:
    """A disk that is full by now must not make a flood of it."""
    desk.ran("failed", DOWN)
    desk.bulletin.tell()
    with sqlite3.connect(desk.folder / ".onepipe" / "control.sqlite") as db:
        db.execute("CREATE TRIGGER full BEFORE DELETE ON alert_message BEGIN SELECT RAISE(FAIL, 'full'); END")
    for _ in range(3):
        with pytest.raises(DiskTrouble):
            desk.mail.deliver()
    with sqlite3.connect(desk.folder / ".onepipe" / "control.sqlite") as db:
        db.execute("DROP TRIGGER full")
    db.close()
    desk.mail.deliver()
    assert (1, []) == (len(desk.box.posts), desk.control.alerts.due(desk.clock.now + A_DAY))


def test_a_webhook_leaves_this_machine_encrypted_or_not_at_all(tmp_path: Path) -> None:
    """What it carries names accounts."""
    with pytest.raises(ConfigError, match="would send"):
        told(tmp_path, {"failed": {"webhook": "http://hooks.example.com/x"}})


def test_one_room_tells_people() -> None:
    """Posting is for alerts alone: whatever else leaves passes the door of an account, and its gate."""
    users = {room(module) for module, path in MODULES.items() if "onepipe.http.webhook" in set(imports(path))}
    assert {"daemon"} == users


def test_people_can_try_it(tmp_path: Path, box: Inbox) -> None:
    """`onepipe alerts test` sends a test by every way, says how each fared, and ends with 1 where one failed."""
    told(tmp_path, {"failed": [{"webhook": box.url()}, {"command": ["false"]}], "stale": {"webhook": box.url()}})
    tried = Place(tmp_path).run("alerts", "test", "--json")
    assert (1, [True, False, True]) == (tried.code, [one["ok"] for one in tried.json["alerts"]])
    assert [{"test": True}] * 2 == [one.body["details"] for one in box.posts]
    assert "a-long-secret-word" not in tried.out + tried.err
    assert 0 == Place(tmp_path).run("alerts", "test", "stale").code
    assert 2 == Place(tmp_path).run("alerts", "test", "failde").code


def test_telling_people_never_reaches_a_crm(tmp_path: Path, box: Inbox) -> None:
    """A project with alerts sends its CRMs nothing but reads."""
    with Sandbox(rows=3, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule"))
        path = tmp_path / "config.yaml"
        path.write_text(f"daemon: {{on_event: {{failed: {{webhook: '{box.url()}'}}}}}}\n" + path.read_text())
        assert 0 == Place(tmp_path).run("sync").code
        assert 0 == Place(tmp_path).run("alerts", "test").code
        assert {"GET"} == {one.method for one in crms["capsule"].log}
    assert 1 == len(box.posts)
