"""What a config may say, for editors and for readers: workflow/config.schema.yaml and docs/keys.md, both made from the models."""

import ast
import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from baldro.config.document import Config
from baldro.config.fields import NAMES
from baldro.config.page import page
from baldro.runs import fields
from baldro.runs.fields import FIELDS, IDENTITY

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


def files() -> dict[Path, str]:
    """The generated files with their texts."""
    return {
        ROOT / "workflow" / "config.schema.yaml": _yaml(schema()),
        ROOT / "docs" / "keys.md": page(schema(), WRITTEN),
    }


@cache
def texts() -> Mapping[str, str]:
    """Field of a run -> what it means: the methods' own from their modules, the others from the docstrings in `baldro.runs.fields`."""
    found = {}
    tree = ast.parse(Path(fields.__file__).read_text(encoding="utf-8"))
    for body in (node.body for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(text.value.value.split())
    return {name: spec.get("text") or found[name] for name, spec in FIELDS.items()}


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
    for name in ("Axes", "Then", "Settings"):
        properties = found["$defs"][name]["properties"]
        own = [field for field in properties if field in FIELDS]
        properties.update({field: _property(field, several=name != "Settings") for field in own})
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
    elif name in IDENTITY or spec.get("kind") is str:
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
