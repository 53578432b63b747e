"""Methods as plain text for a terminal: all of them a line each, or all about one."""

import textwrap
from collections.abc import Iterable, Mapping

from baldro.cli.methods.entries import NEEDS, Entry, allowed, default, written
from baldro.cli.methods.names import NOT_HERE, OTHERWISE
from baldro.config.keys import texts
from baldro.runs import FIELDS

WIDTH = 120
TITLES = {"objective": "Objectives", "variant": "Robust variants", "combiner": "Combiners"}
"""Kind -> its heading; the field of the same name says which."""


def listed(entries: Mapping[str, Entry]) -> str:
    """A line a method, grouped by kind."""
    lines = []
    for kind, title in TITLES.items():
        own = [entry for entry in entries.values() if entry.kind == kind]
        lines += [f"{title} ({kind}: NAME)", *_rows(own), ""]
    return "\n".join(
        [
            *lines,
            *_wrapped("Other names: ", ", ".join([*OTHERWISE, *NOT_HERE])),
            "",
            "All about one: baldro methods NAME. All of it: docs/methods.md.",
        ]
    )


def _rows(entries: list[Entry]) -> Iterable[str]:
    first, second = (max(len(getattr(entry, part)) for entry in entries) for part in ("name", "label"))
    for entry in entries:
        head = f"  {entry.name:{first}}  {entry.label:{second}}  "
        tail = f" ({entry.paper})" if entry.paper else ""
        tail += f"; needs {', '.join(entry.needs)}" if entry.needs else ""
        room = max(20, WIDTH - len(head) - len(tail))  # a long name is a long line
        yield head + textwrap.shorten(entry.what, room, placeholder=" ...") + tail


def about(entry: Entry) -> str:
    """All about one method."""
    declared = entry.declared
    lines = [
        f"{entry.name}: {TITLES[entry.kind].lower().removesuffix('s')}{f' {entry.label}' if entry.label else ''}",
        "",
    ]
    lines += [*_wrapped("", declared.source), "", *_wrapped("  ", declared.formula, "    ")]
    for title, rows in _parts(entry).items():
        if rows:
            lines += ["", title]
            for name, text in rows.items():
                lines += _wrapped(f"  {name}: ", text, "    ")
    return "\n".join(lines)


def _parts(entry: Entry) -> dict[str, Mapping[str, str]]:
    said = {"the module's own words": entry.declared.cost} if entry.declared.cost else {}
    return {
        "Fields": {name: field(name) for name in entry.declared.fields},
        "Fields that matter with it": {name: field(name) for name in entry.also},
        "Usual values": {name: written(name, value) for name, value in entry.usual.items()},
        "Needs": {need: NEEDS[need] for need in entry.needs},
        "Cost, a sample and step": {**entry.cost, **said},
        "Memory": {"beside weights, optimiser and one gradient": entry.memory} if entry.memory else {},
    }


def field(name: str) -> str:
    """A field in a line: *0.1 by default, above 0. NPO's inverse temperature.*"""
    return f"{default(name)} by default; allowed: {allowed(FIELDS[name])}. {texts()[name]}"


def _wrapped(head: str, text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(head + text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
