"""A plan as a page for a browser, for whoever has to agree to it.

The page stands alone: no script is in it, and nothing is fetched when it is opened.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from onepipe.connector import Request
from onepipe.push.sheet import GROUPS, Group, Line, deal, group_of, lines_of, readable, sums
from onepipe.push.words import Item, Plan, plain

_HEADINGS: Mapping[Group, str] = {
    "to be sent": "To be sent",
    "needs you": "Needs a decision",
    "nothing to send": "Nothing to send",
}
MONEY = ("amount", "unit_amount")
_STYLE = """
:root { --ink: #222; --soft: #666; --line: #ddd; --page: #fff; --ask: #fff4d6; --link: #0b57b8 }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6edf3; --soft: #9aa7b4; --line: #3d444d; --page: #10151b; --ask: #3a2f10; --link: #7db3f5 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink);
  background: var(--page); overflow-wrap: anywhere; print-color-adjust: exact; -webkit-print-color-adjust: exact }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--line) } h3 { margin: 0 }
section { border: 1px solid var(--line); border-radius: 6px; padding: 1rem; margin: 1rem 0; break-inside: avoid }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; table-layout: fixed } p { margin: .3rem 0 }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; vertical-align: top } th:first-child { width: 22% }
th { color: var(--soft); font-weight: normal; border-bottom: 1px solid var(--line) } a { color: var(--link) }
.about, .none { color: var(--soft) } .new { font-weight: 600 } .ask { background: var(--ask) }
.still { color: var(--soft) } pre { white-space: pre-wrap }
@media screen and (max-width: 36rem) { tr { display: block; padding: .3rem 0; border-bottom: 1px solid var(--line) }
  tr:first-child { display: none } td { display: block; padding: 0 } td:empty { display: none }
  td[data-title]::before { content: attr(data-title) ": "; color: var(--soft); font-weight: normal } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --ask: #fff4d6; --link: #000 }
  body { max-width: none; margin: 0 } }
"""
_KIND: Mapping[Group, str] = {"to be sent": "send", "needs you": "ask", "nothing to send": "still"}


def as_html(plan: Plan) -> str:
    """A page for whoever has to agree: every deal, what it holds, what it would hold, who asks for it and why."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer"><title>Plan {plan.plan_id}</title><style>{_STYLE}</style></head><body>
<h1>What is to be changed in the CRM</h1>
<p>Plan {plan.plan_id}, made on {plan.made_at:%Y-%m-%d at %H:%M} UTC. Nothing has been sent.</p>
<ul>{"".join(f"<li>{escape(told)}</li>" for told in sums(plan))}</ul>
{"".join(_error(name, error) for name, error in plan.errors.items())}
{"".join(_part(plan, one) for one in GROUPS)}
</body></html>
"""


def _error(name: str, error: Mapping[str, Any]) -> str:
    return f'<p class="ask"><b>{escape(name)}</b> could not be read: {escape(str(error.get("message")))}</p>'


def _part(plan: Plan, wanted: Group) -> str:
    items = [item for item in plan.items if group_of(item) == wanted]
    return f"<h2>{_HEADINGS[wanted]}</h2>{''.join(map(_card, items))}" if items else ""


def _card(item: Item) -> str:
    about = [item.connection, item.source_id or "a new deal", f"owner {item.owner}" if item.owner else ""]
    asked = [f"Asked for by {item.who}" if item.who else "", item.why]
    sent = escape("\n\n".join(map(_sent, item.requests)))
    return f"""<section><h3>{_link(item)}</h3>
<p class="about">{escape(" · ".join(filter(None, about)))}</p>
<table><tr><th>field<th>in the CRM<th>is to be<th>what happens</tr>{"".join(map(_row, lines_of(item)))}</table>
{"".join(f"<p>{escape(note)}</p>" for note in item.notes)}
<p>{escape(": ".join(filter(None, asked)))}</p>
{f"<details><summary>For engineers: what is sent</summary><pre>{sent}</pre></details>" if sent else ""}</section>
"""


def _sent(request: Request) -> str:
    """A request as it would leave; a body that is text as it stands, with what it holds in lines."""
    told = plain(request.document())
    body = told.get("body")
    shown = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    return f"{request.method} {request.path}\n{shown if body is not None else ''}".rstrip()


def _link(item: Item) -> str:
    """A deal's name, leading to its page in the CRM; an address that is none for a browser stays out."""
    told = escape(deal(item))
    if not item.url or not item.url.startswith(("https://", "http://")):
        return told
    return f'<a href="{escape(item.url)}" rel="noopener noreferrer">{told}</a>'


def _row(line: Line) -> str:
    now = "" if line.item.op == "create" else _cell(line, line.now)
    if line.group == "needs you" and line.field and line.known != line.now:
        now += f'<br><span class="about">when edited: {_cell(line, line.known)}</span>'
    told = escape(": ".join(filter(None, (line.outcome, line.reason))))
    cells = (
        f"<td>{escape(line.field)}",
        f'<td data-title="in the CRM">{now}',
        f'<td data-title="is to be" class=new>{_cell(line, line.new)}',
        f'<td data-title="what happens">{told}',
    )
    return f'<tr class="{_KIND[line.group]}">{"".join(cells)}</tr>'


def _cell(line: Line, value: str | None) -> str:
    shown = readable(line.field, value)
    if shown is None:
        return '<span class="none">(empty)</span>' if line.field else ""
    return escape(" ".join(filter(None, (shown, _currency(line)))))


def _currency(line: Line) -> str | None:
    """The currency of an amount, where that is not to be changed as well."""
    return line.item.seen.get("currency") if line.field in MONEY and "currency" not in line.item.fields else None
