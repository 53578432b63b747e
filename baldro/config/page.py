"""docs/keys.md: every key of a config, of models.yaml and of benchmarks.yaml, from the schema."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from baldro.config.fields import OWN, SETTINGS
from baldro.runs.fields import AXES

ORDER = ("Axes", "Then", "Selection", "Bound", "Attribution", "Model", "Build", "Needs", "Settings")
"""Sections of the page; others follow."""


def page(found: Mapping[str, Any], written: str) -> str:
    """The page in Markdown: a section of the schema is a table. The methods' own fields have a page of their own.

    Args:
        found: the schema.
        written: where the page comes from.
    """
    sections = found["$defs"]
    names = [*(name for name in ORDER if name in sections), *sorted(set(sections) - set(ORDER))]
    elsewhere = {"Axes": OWN, "Then": AXES, "Settings": SETTINGS}
    lines = ["# Keys of a config", "", written, "", *_table("Config", found, ())]
    for name in names:
        lines += _table(name, sections[name], elsewhere.get(name, ()))
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, section: Mapping[str, Any], own: Collection[str]) -> Iterator[str]:
    """A section: its heading, its text, and a line a key.

    Args:
        own: keys that have a page elsewhere.
    """
    yield from (f"## {title}", "", section["description"], "")
    if "properties" not in section:
        yield from (f"Allowed: {_allowed(section)}.", "")
        return
    shown = {name: spec for name, spec in section["properties"].items() if name not in own}
    if shown:
        yield from ("| key | default | allowed | what it is |", "| --- | --- | --- | --- |")
    for name, spec in shown.items():
        default = "required" if name in section.get("required", ()) else _written(spec.get("default"))
        cells = (f"`{name}`", default, _allowed(spec), spec.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    if shown:
        yield ""
    if own:
        where = "[methods](methods.md)" if shown else "[Axes](#axes)"
        yield from (
            f"{'Further keys' if shown else 'Keys'}, see {where}: {', '.join(f'`{name}`' for name in own)}.",
            "",
        )
    if "oneOf" in section:
        keys = ", ".join(f"`{one['required'][0]}`" for one in section["oneOf"])
        yield from (f"Exactly one of {keys}.", "")


def _written(value: Any) -> str:
    if value is None or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`" if isinstance(value, (bool, str)) else f"`{value:g}`"


def _allowed(spec: Mapping[str, Any]) -> str:
    """What a value may be, in words: *a whole number, at least 1*."""
    if "anyOf" in spec or "oneOf" in spec:
        options = spec.get("anyOf") or spec["oneOf"]
        if len(options) == 2 and options[1].get("items") == options[0]:
            return f"{_allowed(options[0])}; or a list"
        return ", or ".join(_allowed(option) for option in options)
    if "$ref" in spec:
        name = spec["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in spec or "const" in spec:
        return ", ".join(f"`{value}`" for value in spec.get("enum") or [spec["const"]])
    if spec.get("type") == "array":
        return f"a list of {_allowed(spec['items'])}"
    if spec.get("type") == "object":
        inner = spec.get("additionalProperties")
        return f"names -> {_allowed(inner)}" if isinstance(inner, dict) else "a mapping"
    return _simple(spec)


def _simple(spec: Mapping[str, Any]) -> str:
    kinds = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "`true`, `false`"}
    kind = spec.get("type", "")
    word = kinds.get(kind if isinstance(kind, str) else kind[0], "anything")
    words = {"exclusiveMinimum": "above", "minimum": "at least", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{text} {spec[key]:g}" for key, text in words.items() if key in spec]
    return ", ".join([word, *limits]) + (f" that matches `{spec['pattern']}`" if "pattern" in spec else "")
