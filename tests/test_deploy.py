"""What stands in deploy/ and docs/recipes.md works: units, an image, a plist, and what other schedulers are given."""

import ast
import fnmatch
import http.server
import plistlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import onepipe.control.leases as leases
from onepipe import config
from onepipe.cli import exits
from onepipe.config import Daemon
from tests.test_docs import FENCE, blocks, page, rows, section

HOUSE = Path(__file__).parent.parent
DEPLOY = HOUSE / "deploy"
SERVICES = ("onepipe.service", "onepipe-sync.service")
RECIPES = FENCE.findall((HOUSE / "docs/recipes.md").read_text(encoding="utf-8"))
ANALYZE = shutil.which("systemd-analyze")


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A unit's sections: the values of each key, in order."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    """`2min`, `35` and the like."""
    number, word = re.fullmatch(r"(\d+)(s|min|h)?", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "min": 60, "h": 3600, None: 1}[word]


def test_every_file_is_explained() -> None:
    """docs/service.md says of each what it is for."""
    told = page("docs/service.md")
    assert [] == [path.name for path in DEPLOY.iterdir() if f"deploy/{path.name}" not in told]


# --- systemd


@pytest.mark.skipif(not ANALYZE, reason="needs systemd-analyze")
def test_systemd_takes_the_units_as_they_are(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, once there is a program where they name one."""
    for name in (*SERVICES, "onepipe-sync.timer"):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/onepipe/bin/onepipe", "/bin/true"))
    names = [str(tmp_path / name) for name in (*SERVICES, "onepipe-sync.timer")]
    done = subprocess.run([str(ANALYZE), "verify", "--man=no", *names], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "onepipe" in line]
    assert (0, []) == (done.returncode, said), done.stderr


@pytest.mark.skipif(not ANALYZE, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_counts_the_services_among_the_safe(name: str) -> None:
    """Of ten points of exposure they have fewer than two: what is left is the network, and reading /proc."""
    asked = [str(ANALYZE), "security", "--offline=yes", "--threshold=20", "--no-pager", str(DEPLOY / name)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to look at a file")
    assert 0 == done.returncode, done.stdout[-300:] + done.stderr


def test_the_unit_waits_as_long_as_the_daemon_drains() -> None:
    """Nobody is cut short by systemd, and the copy that is being made is not told to end with the daemon."""
    service = unit("onepipe.service")["Service"]
    drain = Daemon().drain.total_seconds()
    assert seconds(service["TimeoutStopSec"][0]) >= 2 * drain
    assert ["mixed"] == service["KillMode"]
    assert ["notify"] == service["Type"]
    assert "WatchdogSec" in service
    assert ["/bin/kill -HUP $MAINPID"] == service["ExecReload"]


def test_the_unit_starts_again_what_may_go_well_another_time() -> None:
    """A wrong config stays down; a daemon's place that was not given back before a power cut is waited for."""
    service = unit("onepipe.service")["Service"]
    assert ["on-failure"] == service["Restart"]
    assert [str(exits.WRONG)] == service["RestartPreventExitStatus"]
    assert seconds(service["RestartSec"][0]) > leases.EXPIRY
    assert [str(exits.BUSY)] == unit("onepipe-sync.service")["Service"]["SuccessExitStatus"]


def test_both_services_are_locked_in_alike() -> None:
    """Folders, secrets and walls are the same, whichever of the two somebody runs."""
    how = {"Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "WatchdogSec"}
    how |= {"TimeoutStartSec", "TimeoutStopSec", "SuccessExitStatus"}
    daemon, once = ({k: v for k, v in unit(name)["Service"].items() if k not in how} for name in SERVICES)
    assert daemon == once
    assert {"ProtectSystem": ["strict"], "NoNewPrivileges": ["yes"], "UMask": ["0077"]}.items() <= once.items()
    assert not {"ProtectProc", "ProcSubset"} & once.keys()  # the dead are told from the living by /proc


def test_by_hand_onepipe_runs_as_the_service_does() -> None:
    """The wrapper has the service's user, program, config and secrets, and passes on what is typed."""
    text = (DEPLOY / "onepipe").read_text(encoding="utf-8")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    service = unit("onepipe.service")["Service"]
    program = service["ExecStart"][0].removesuffix(" daemon")
    assert f'{program} "$@"' in text
    assert f"--uid={service['User'][0]} --gid={service['Group'][0]} --property=UMask={service['UMask'][0]}" in text
    assert f"--property=LoadCredential={service['LoadCredential'][0]}" in text


def test_the_config_that_the_docs_show_fits_the_unit(tmp_path: Path) -> None:
    """Its folders are those that the service may write into, and its secret is one that systemd hands over."""
    service = unit("onepipe.service")["Service"]
    handed = service["LoadCredential"][0].partition(":")[0]
    (tmp_path / f"{handed}_acme").write_text("s3cret\n")
    (text,) = blocks(page("docs/service.md"), "yaml")
    (tmp_path / "config.yaml").write_text(text)
    said = config.load(tmp_path / "config.yaml", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "s3cret" == said.connections["acme"].plain_credentials()["token"]
    assert f"/var/lib/{service['StateDirectory'][0]}" == str(said.state)
    assert service["ReadWritePaths"][0] == str(said.warehouse.parent)


# --- the image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, lines that go on put together."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def test_the_image_is_built_of_what_the_lock_names() -> None:
    """One download held against hashes; all else without an index; and no host is named."""
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest]
    asks = [part for rest in installs for part in rest.split("&&") if re.search(r"pip (install|download)", part)]
    assert 3 == len(asks)
    assert all("--require-hashes" in part or "--no-index" in part for part in asks)
    assert "://" not in " ".join(rest for word, rest in instructions() if word != "HEALTHCHECK")
    images = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert images == ["python:${PYTHON}-slim"] * 2


def test_the_image_is_given_what_its_build_needs() -> None:
    """What .dockerignore lets through is what the wheel is made of; a .env never gets in."""
    lines = (HOUSE / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert "*" == rules[0]
    let = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert {"src", "connectors", "mappings", "README.md", "pyproject.toml", "requirements.lock"} <= let
    assert all((HOUSE / name).exists() for name in let)
    assert fnmatch.fnmatch("src/.env", "**/.env") and "**/.env" in rules


def test_the_image_runs_as_nobody_in_particular_and_hears_signals() -> None:
    """The process is onepipe itself, not a shell; the user is a number, which Kubernetes can tell is not root."""
    said = dict(instructions())
    assert "10001:10001" == said["USER"]
    assert "SIGTERM" == said["STOPSIGNAL"]
    assert ["onepipe", "--config", "/etc/onepipe/config.yaml"] == ast.literal_eval(said["ENTRYPOINT"])
    assert ["daemon"] == ast.literal_eval(said["CMD"])
    assert ["/var/lib/onepipe", "/srv/onepipe"] == ast.literal_eval(said["VOLUME"])


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_image_asks_the_daemon_for_its_health(status: int, healthy: bool) -> None:
    """The check ends with 0 where /livez answers, and not where it does not."""
    (check,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    command = ast.literal_eval(check.partition("CMD ")[2])
    with answering(status) as (port, asked):
        command = [sys.executable, *(part.replace("9464", str(port)) for part in command[1:])]
        done = subprocess.run(command, capture_output=True, check=False)
    assert healthy == (done.returncode == 0)
    assert ["/livez"] == asked


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A port on which everything is answered with one status; and what was asked there."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


# --- macOS


def test_the_plist_runs_the_daemon_and_starts_it_again_only_after_a_failure() -> None:
    """It is a whole property list, waits longer than the drain, and keeps its files to its user."""
    with (DEPLOY / "onepipe.plist").open("rb") as file:
        said = plistlib.load(file)
    assert "daemon" == said["ProgramArguments"][-1]
    assert {"SuccessfulExit": False} == said["KeepAlive"]
    assert said["ExitTimeOut"] >= 2 * Daemon().drain.total_seconds()
    assert 0o077 == said["Umask"]
    assert said["ThrottleInterval"] > leases.EXPIRY


# --- watching


def test_the_docs_show_alerts_that_can_be_used(tmp_path: Path) -> None:
    """config.yaml takes `on_event:` as it is shown, and the rules for Prometheus name figures that the daemon has."""
    shown = [yaml.safe_load(text) for name in ("config", "daemon") for text in blocks(page(f"docs/{name}.md"), "yaml")]
    told = [one for one in shown if "daemon" in one]
    assert told
    for one in told:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(one))
        names = {"OPS_WEBHOOK": "https://a.example", "ALERTS_URL": "https://a.example"}
        assert config.load(tmp_path / "config.yaml", names).daemon.on_event
    (rules,) = [one["groups"][0]["rules"] for one in shown if "groups" in one]
    asked = {name for rule in rules for name in re.findall(r"onepipe_(\w+)", rule["expr"])}
    figures = " ".join(cells[0] for cells in rows(section(page("docs/daemon.md"), "Watching")))
    assert asked and all(f"`{name}`" in figures for name in asked)


# --- recipes


def test_no_recipe_is_longer_than_fifteen_lines() -> None:
    """A recipe that needs more is no recipe."""
    assert [] == [code for _, code in RECIPES if len(code.splitlines()) > 15]
    assert {"crontab", "python", "yaml", "sh"} == {language for language, _ in RECIPES}


def test_every_recipe_can_be_read() -> None:
    """Python compiles, YAML loads, the shell takes it, and cron gets five fields and a command."""
    for language, code in RECIPES:
        if language == "python":
            compile(code, "recipe", "exec")
        elif language == "yaml":
            assert isinstance(yaml.safe_load(code), dict)
        elif language == "sh":
            subprocess.run(["sh", "-n"], input=code, text=True, check=True)
        else:
            (line,) = [line for line in code.splitlines() if not re.match(r"[A-Z]+=", line)]
            assert 5 == sum(bool(re.fullmatch(r"[\d*/,-]+", field)) for field in line.split()[:5])
            subprocess.run(["sh", "-n"], input=line.split(maxsplit=5)[5], text=True, check=True)


def fake(folder: Path) -> dict[str, str]:
    """An environment in which onepipe ends with $CODE, and dbt says that it was called."""
    for name, script in {"onepipe": "echo told; exit $CODE", "dbt": f"echo dbt >> {folder}/called"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(("code", "mailed"), [(0, False), (1, True), (2, True), (75, False)])
def test_cron_mails_what_failed_and_nothing_else(tmp_path: Path, code: int, mailed: bool) -> None:
    """cron mails what a command prints: nothing where all is well, or where another process is at work."""
    (text,) = [text for language, text in RECIPES if language == "crontab"]
    command = text.splitlines()[-1].split(maxsplit=5)[5].replace("/var/log/onepipe", str(tmp_path))
    env = fake(tmp_path) | {"CODE": str(code)}
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False)
    assert ("told\n" if mailed else "", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(("code", "ends", "built"), [(0, 0, True), (1, 1, True), (2, 2, False), (75, 0, False)])
def test_dbt_runs_after_what_was_loaded(tmp_path: Path, code: int, ends: int, built: bool) -> None:
    """A run that is not whole is built as well, and ends as what it is."""
    (text,) = [text for language, text in RECIPES if language == "sh"]
    env = fake(tmp_path) | {"CODE": str(code)}
    done = subprocess.run(["sh", "-c", text], env=env, capture_output=True, check=False)
    assert (ends, built) == (done.returncode, (tmp_path / "called").exists())


def test_schedulers_know_our_exit_codes() -> None:
    """Each says what becomes of a wrong config and of a connection that another process holds."""
    airflow, dagster = [code for language, code in RECIPES if language == "python"]
    assert f"{{{exits.WRONG}: AirflowFailException, {exits.BUSY}: AirflowSkipException}}" in airflow
    assert f"not in (0, {exits.BUSY})" in dagster and f"allow_retries=code != {exits.WRONG}" in dagster
    job = kubernetes("CronJob")["spec"]["jobTemplate"]["spec"]
    ends = {one["action"]: one["onExitCodes"]["values"] for one in job["podFailurePolicy"]["rules"]}
    assert {"FailJob": [exits.WRONG], "Ignore": [exits.BUSY]} == ends


def test_kubernetes_runs_one_daemon_and_asks_after_it() -> None:
    """Never two at a time; alive, and ready; with time to end; and no run beside another of the same job."""
    spec = kubernetes("Deployment")["spec"]
    assert ({"type": "Recreate"}, None) == (spec["strategy"], spec.get("replicas"))
    pod = spec["template"]["spec"]
    (one,) = pod["containers"]
    probes = [one[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")]
    assert ["/livez", "/readyz"] == probes
    assert pod["terminationGracePeriodSeconds"] >= 2 * Daemon().drain.total_seconds()
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert "Forbid" == kubernetes("CronJob")["spec"]["concurrencyPolicy"]


def kubernetes(kind: str) -> Any:
    """The recipe that describes such an object; its volumes and mounts fit together."""
    found = [yaml.safe_load(code) for language, code in RECIPES if language == "yaml"]
    (one,) = [data for data in found if data.get("kind") == kind]
    spec = one["spec"]["template" if kind == "Deployment" else "jobTemplate"]["spec"]
    pod = spec if kind == "Deployment" else spec["template"]["spec"]
    mounts = {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    return one
