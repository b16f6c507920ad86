"""The page of a sandbox. Whatever comes from the tenant was written by a client, and is text here, never markup."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any, Final

_TEMPLATE: Final = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
_STYLE: Final = _TEMPLATE.partition("<style>")[2].partition("</style>")[0]
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Nothing but this page's own style: no script, no form, no frame, nothing from elsewhere.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# control characters, halves of characters, and what turns the direction of the text around it
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_EVERY: Final = 5
Facts = Mapping[str, Any]


def drawn(found: Facts, refresh: int = 0) -> bytes:
    """The page.

    :param found: from `facts.of`.
    :param refresh: seconds until the browser loads it anew; 0: never.
    """
    parts = {
        "requests": ("Requests", found["requests"]["answered"], _requests(found)),
        "people": ("People", len(found["people"]), _people(found)),
        "objects": ("Objects", len(found["objects"]), _objects(found)),
        "grants": ("Grants", sum(len(grant["names"]) for grant in found["grants"]), _grants(found)),
        "faults": ("Faults by script", len(found["faults"]), _faults(found)),
        "pending": ("Replication under way", len(found["pending"]), _pending(found)),
    }
    contents = [
        f'<a href="#{key}">{title}</a> <span class="soft">{count}</span>' for key, (title, count, _) in parts.items()
    ]
    turn = f'<a href="/?refresh={_EVERY}">Refresh every {_EVERY} s</a>'
    if refresh:
        turn = f'Refreshes every {refresh} s, <a href="/">stop</a>'
    text = Template(_TEMPLATE).substitute(
        refresh=f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else "",
        title=_e(found["tenant"]["name"]),
        name=_e(found["tenant"]["name"]),
        product=_e(found["product"]),
        summary=_summary(found),
        contents="".join(f"<span>{item}</span>" for item in contents) + f'<span class="end">{turn}</span>',
        sections="\n".join(
            f'<section id="{key}"><h2>{title}<small>{count}</small></h2>{body}</section>'
            for key, (title, count, body) in parts.items()
        ),
    )
    return text.encode()


def _summary(found: Facts) -> str:
    rows = {
        "Tenant": _mono(found["tenant"]["id"]),
        "Domain": _mono(found["tenant"]["domain"]),
        "Its clock": _mono(found["now"]),
        "Scenario": f"{_b(found['scenario'])} <span class=soft>seed {_e(found['seed'])}</span>",
        "Sign-in": _mono(found["origins"]["authority"]),
        "Graph": _mono(found["origins"]["graph"]),
    }
    if found["lag"]:
        rows["Lag up to"] = ", ".join(f"{_e(kind)} {seconds:g} s" for kind, seconds in found["lag"].items())
    if found["switches"]:
        rows["Switches"] = ", ".join(_mono(f"{name} = {value}") for name, value in found["switches"].items())
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows.items())


def _people(found: Facts) -> str:
    rows = [
        {
            "Name": _b(one["name"]) + (' <span class="good">signed in to az</span>' if one["signed_in"] else ""),
            "Sign-in name": _mono(one["userPrincipalName"])
            + ("" if one["enabled"] else ' <span class="bad">disabled</span>'),
            "Roles": _e(", ".join(one["roles"])) or '<span class="soft">none</span>',
            "Live tokens": str(one["tokens"]),
        }
        for one in found["people"]
    ]
    return _card("", rows, "Nobody.")


def _objects(found: Facts) -> str:
    cards = []
    for one in found["objects"]:
        facts = [f"id {_mono(one['id'])}"]
        facts += [f"appId {_mono(one['appId'])}"] if one["appId"] else []
        facts += [f"owned by {_b(', '.join(one['owners']))}"] if one["owners"] else []
        facts += [f"federated: {_b(', '.join(one['federated']))}"] if one["federated"] else []
        facts += [f"{one['tokens']} live tokens"] if one["tokens"] else []
        head = (
            f'<div class="about"><h3>{_b(one["name"] or one["id"])} <span class="tag">{_e(one["kind"])}</span></h3>'
            f'<p class="soft">{" · ".join(facts)}</p></div>'
        )
        cards.append(_card(head, [_credential(entry) for entry in one["credentials"]]))
    if found["deleted"]:
        gone = [
            {"Deleted": _b(one["name"]), "Kind": _e(one["kind"]), "Id": _mono(one["id"])} for one in found["deleted"]
        ]
        cards.append(_card("", gone))
    return "".join(cards) or _card("", [], "None.")


def _credential(entry: Facts) -> dict[str, str]:
    mark = f"{_mono(entry['hint'])}…" if entry["what"] == "password" else _mono(entry["thumbprint"])
    left = entry["days_left"]
    if entry["expired"]:
        state = '<span class="bad">expired</span>'
    elif left is None:
        state = ""
    else:
        state = f'<span class="{"warn" if left < 30 else "good"}">{left} days left</span>'
    return {
        "Credential": _e({"key": f"key, {entry.get('usage', '')}"}.get(entry["what"], entry["what"])),
        "Name": _b(entry["name"]) or '<span class="soft">none</span>',
        "Hint or thumbprint": mark,
        "keyId": _mono(entry["keyId"]),
        "Last used": _e(entry["last_used"][:10]) or '<span class="soft">never</span>',
        "Valid": f"{_e(entry['start'][:10])} to {_e(entry['end'][:10])} {state}",
    }


def _grants(found: Facts) -> str:
    def end(grant: Facts) -> tuple[str, str, str, str]:
        return grant["to"], grant["to_id"], grant["of"], grant["what"]

    cards = []
    for (to, to_id, of, what), some in groupby(sorted(found["grants"], key=end), end):
        names = sorted(name for grant in some for name in grant["names"])
        chips = "".join(f'<li class="tag">{_b(name)}</li>' for name in names)
        about = f'<h3>{_b(to)}</h3><p class="soft">{_e(what)} of {_b(of)} · {_mono(to_id)}</p>'
        cards.append(f'<div class="card"><div class="about">{about}<ul>{chips}</ul></div></div>')
    return "".join(cards) or _card("", [], "None.")


def _faults(found: Facts) -> str:
    rows = [{"Fault": _mono(one["fault"]), "Struck": _times(one["struck"])} for one in found["faults"]]
    return _card("", rows, "None: every request is answered as it should be.")


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _pending(found: Facts) -> str:
    rows = [
        {
            "Object": f'{_b(one["name"] or one["id"])} <span class="tag">{_e(one["kind"])}</span>'
            + (' <span class="bad">deleted</span>' if one["deleted"] else ""),
            "Seconds until the replicas know": _mono(", ".join(f"{left:g}" for left in one["replicas"])),
            "Until sign-in knows": _mono(f"{one['login']:g}"),
        }
        for one in found["pending"]
    ]
    return _card("", rows, "None: everybody knows the newest state of everything.")


def _requests(found: Facts) -> str:
    rows = []
    for one in found["requests"]["newest"]:
        items = "".join(f"<br>{_mono(item, 'soft')}" for item in one["items"])
        fault = f'<br><span class="bad">by script</span> {_mono(one["fault"])}' if one["fault"] else ""
        rows.append(
            {
                "Time": _mono(one["at"][11:-1]),
                "Method": _mono(one["method"]),
                "Path": f"<span>{_mono(one['path'])}{items}{fault}</span>",
                "Status": _status(one["status"]),
                "Took": f"{one['ms']:g} ms",
            }
        )
    more = found["requests"]["answered"] - len(rows)
    older = f'<p class="soft">{more} older ones are not shown.</p>' if more > 0 else ""
    return _card("", rows, "None yet.", "log") + older


def _status(status: int) -> str:
    if not status:
        return '<span class="bad">cut</span>'
    kind = "good" if status < 300 else "tag" if status < 400 else "warn" if status < 500 else "bad"
    return f'<span class="{kind}">{status}</span>'


_CLASSES: Final = {"Took": "number", "Time": "fixed", "Method": "fixed", "Credential": "fixed", "Last used": "fixed"}


def _card(head: str, rows: Sequence[Mapping[str, str]], empty: str = "", kind: str = "") -> str:
    """A box with a table whose columns are the rows' names; the values are markup."""
    table = ""
    if rows:
        names = "".join(f'<th scope="col" class="{_CLASSES.get(name, "")}">{name}</th>' for name in rows[0])
        table = (
            f'<table class="{kind}"><thead><tr>{names}</tr></thead><tbody>{"".join(map(_row, rows))}</tbody></table>'
        )
    elif empty:
        head += f'<div class="about"><p class="soft">{empty}</p></div>'
    return f'<div class="card">{head}{table}</div>'


def _row(row: Mapping[str, str]) -> str:
    cells: Iterable[str] = (
        f'<td data-label="{name}" class="{_CLASSES.get(name, "")}"><span>{value}</span></td>'
        for name, value in row.items()
    )
    return f"<tr>{''.join(cells)}</tr>"


def _e(value: Any) -> str:
    """Text as markup."""
    return html.escape(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def _b(value: Any) -> str:
    """Text whose direction does not leak into what stands around it."""
    return f"<bdi>{_e(value)}</bdi>" if str(value) else ""


def _mono(value: Any, kind: str = "") -> str:
    return f'<bdi class="mono {kind}">{_e(value)}</bdi>'
