"""What a config may say, for editors and for readers: workflow/config.schema.yaml and docs/keys.md, both made from the models."""

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from baldro.config.document import Config
from baldro.config.fields import NAMES, SETTINGS
from baldro.methods.catalogue import own_fields
from baldro.runs import run
from baldro.runs.run import FIELDS, IDENTITY

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = (
    "`python -m baldro.config` wrote this file from the models in baldro/config/ and what they are made of: edit those."
)
WORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Bounds as pydantic leaves them behind a validator -> their names in a schema."""
BOUNDS = {"above": "exclusiveMinimum", "at_least": "minimum", "at_most": "maximum", "below": "exclusiveMaximum"}
"""Bounds of a run's field -> their names in a schema."""
KIND = r"baldro__benchmarks__kinds__(\w+?)__Benchmark"
"""The class of a kind of benchmark, as pydantic names it."""
ORDER = ("Axes", "Selection", "Bound", "Attribution", "Model", "Build", "Needs", "Settings")
"""Sections of the page; others follow."""


def files() -> dict[Path, str]:
    """The generated files with their texts."""
    return {ROOT / "workflow" / "config.schema.yaml": _yaml(schema()), ROOT / "docs" / "keys.md": page(schema())}


@cache
def texts() -> Mapping[str, str]:
    """Field of a run -> what it means: the methods' own from their modules, the others from the docstrings in `baldro.runs.run`."""
    found = {}
    tree = ast.parse(Path(run.__file__).read_text(encoding="utf-8"))
    for body in (node.body for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(text.value.value.split())
    return {name: found[name] for name in FIELDS if name in found} | {
        n: spec["text"] for n, spec in own_fields().items()
    }


class _Schema(GenerateJsonSchema):
    """Without titles, which repeat the keys, and with null nowhere: a key may be left out instead."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        found = super().default_schema(schema)
        return {key: value for key, value in found.items() if key != "default" or isinstance(value, (str, int, float))}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """The JSON Schema of a config; models.yaml and benchmarks.yaml are its sections `models` and `benchmarks`."""
    found = Config.model_json_schema(schema_generator=_Schema)
    for name in ("Axes", "Settings"):
        properties = found["$defs"][name]["properties"]
        properties.update({field: _property(field, several=name == "Axes") for field in properties})
    found = json.loads(re.sub(KIND, r"Benchmark-\1", json.dumps(_tidy(found))))
    sections = found.pop("$defs")
    return {"$schema": GenerateJsonSchema.schema_dialect, **found, "$defs": sections}


def _tidy(node: Any) -> Any:
    """A schema in its own words, without titles, which repeat the keys, and with texts on one line."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {
        WORDS.get(key, key): _tidy(value) for key, value in node.items() if key != "title" or isinstance(value, dict)
    }
    if isinstance(text := kept.get("description"), str):
        kept["description"] = " ".join(text.split())
    return kept


def _property(name: str, *, several: bool) -> dict[str, Any]:
    """A field of a run: one value, or several of them in a list. A number may come as text, since YAML reads 1e-5 as such."""
    spec = FIELDS[name]
    choices = NAMES.get(name) or spec.get("choices")
    if choices:
        one = {"enum": list(choices)}
    elif name in IDENTITY:
        one = {"type": "string"}
    else:
        bounds = {BOUNDS[end]: spec[end] for end in BOUNDS if spec.get(end) is not None}
        one = {"type": ["integer" if spec["kind"] is int else "number", "string"], **bounds}
    usual = spec.get("default", "base" if name == "variant" else None)
    default = {} if usual is None else {"default": usual}
    shape = {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]} if several else one
    return {"description": texts()[name], **default, **shape}


class _Key(dict):
    """What a schema says of one key, which is written in as few lines as will hold it."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Key, lambda dumper, key: dumper.represent_mapping("tag:yaml.org,2002:map", key, flow_style=True)
)


def _yaml(found: Mapping[str, Any]) -> str:
    sections = {
        name: {**section, "properties": {key: _Key(spec) for key, spec in section["properties"].items()}}
        if "properties" in section
        else section
        for name, section in found["$defs"].items()
    }
    body = yaml.dump({**found, "$defs": sections}, Dumper=_Dumper, sort_keys=False, width=140, default_flow_style=None)
    return f"# {WRITTEN}\n{body}"


def page(found: Mapping[str, Any]) -> str:
    """The page of all keys, in Markdown: a section of the schema is a table. The methods' own fields have a page of their own."""
    sections = found["$defs"]
    names = [*(name for name in ORDER if name in sections), *sorted(set(sections) - set(ORDER))]
    elsewhere = {"Axes": own_fields(), "Settings": SETTINGS}
    lines = ["# Keys of a config", "", WRITTEN, "", *_table("Config", found, ())]
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
