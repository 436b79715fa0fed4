"""The command `alerts test`: whether people would be told, before there is anything to tell."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, end, examples
from onepipe.errors import OnepipeError, UsageError

if TYPE_CHECKING:
    from onepipe.config import Config

alerts = typer.Typer(no_args_is_help=True, help="Try the ways in which the daemon tells people of something.")
app.add_typer(alerts, name="alerts")

Events = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EVENT", help="failed, stale, ...; all in config.yaml if none is given.", show_default=False
    ),
]


@alerts.command(epilog=examples("onepipe alerts test", "onepipe alerts test failed stale --json"))
def test(ctx: typer.Context, events: Events = None, as_json: Json = False) -> None:
    """Send a test event by every command and webhook of `on_event:` in config.yaml, once.

    Says how each fared. The message is marked as a test: `test` is true in its details. Works beside a daemon.
    """
    from onepipe import logs

    config = door(ctx).load(credentials=True)
    for connection in config.connections.values():
        logs.add_secrets(connection.secrets)
    results = _tried(config, events or [])
    if as_json:
        screen.document({"alerts": results})
    else:
        for line in screen.table(["event", "way", "result"], map(_row, results)):
            screen.say(line)
    if not results:
        screen.tell("Nobody is told of anything: `daemon: {on_event: ...}` in config.yaml says whom to tell of what.")
    end(0 if all(one["ok"] for one in results) else exits.FAILED)


def _tried(config: "Config", events: list[str]) -> list[dict[str, Any]]:
    import onepipe.daemon.ways as ways
    from onepipe import logs
    from onepipe.daemon.alerts import payload
    from onepipe.daemon.onlooker import Event

    logs.add_secrets(ways.secrets(config))
    told = ways.every(config)
    if unknown := [event for event in events if event not in told]:
        known = ", ".join(told) or "none"
        raise UsageError(f"config.yaml tells nobody of {exits.listed(unknown)}; nothing was sent", f"known: {known}")
    results = []
    for event in events or list(told):
        for way in told[event]:
            text = f"This is a test: people are told of {event} in this way."
            body = payload(Event(event=event, at=datetime.now(UTC), text=text, details={"test": True}))  # type: ignore[arg-type]
            results.append({"event": event, "way": way.name, **_fared(lambda way=way, body=body: way.deliver(body))})
    return results


def _fared(deliver: Any) -> dict[str, Any]:
    try:
        deliver()
    except OnepipeError as error:
        return {"ok": False, "error": error.message}
    return {"ok": True, "error": None}


def _row(result: dict[str, Any]) -> list[str | None]:
    return [result["event"], result["way"], "ok" if result["ok"] else f"failed: {result['error']}"]
