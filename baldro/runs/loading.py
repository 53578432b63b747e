"""Reading a config: YAML with line numbers, the schema, the names. What is wrong ends in one line: file, line, what, what is allowed."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from baldro.benchmarks.splits import check_splits
from baldro.durable.files import read_text
from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import AMBIGUOUS, COMBINERS, INSTEAD, VARIANTS
from baldro.places import alternate_files, resolve
from baldro.runs.experiment import Experiment, classifier, experiment, rows, stages
from baldro.runs.rule import check_metrics
from baldro.stages import fields as own_fields

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "config.schema.yaml"


def load(source: Mapping[str, Any] | str | Path, *, files: Sequence[str | Path] = (), root: Path = ROOT) -> Experiment:
    """The experiment of a config, checked against the schema and the names in models.yaml and benchmarks.yaml.

    Args:
        source: a config file, or the config itself (the workflow has it already).
        files: the files that a config given as a mapping came from, to say where a mistake is.
        root: the folder with models.yaml and benchmarks.yaml.
    """
    if not isinstance(source, Mapping):
        files, source = [source], read(source)
    else:
        _check_once(files)
    place = _Places(files)
    schema = schema_of_everything()
    _validate(source, schema, place)
    named = {}
    for kind in ("models", "benchmarks"):
        path = root / f"{kind}.yaml"
        shared = read(path)
        _validate(shared, {**schema["properties"][kind], "$defs": schema["$defs"]}, _Places([path]))
        named[kind] = {**shared, **_new(source.get(kind) or {}, shared, kind, place)}
    try:
        result = experiment(source, **named)
        kinds = [benchmark["kind"] for benchmark in result.benchmarks.values()]
        check_metrics(result.selection, result.attribution, kinds, _metrics(schema))
    except BaldroError as error:
        raise BaldroError(f"{place.near(str(error))}: {error}") from None
    for kind in ("models", "benchmarks"):
        for name, definition in getattr(result, kind).items():
            own = name in (source.get(kind) or {})
            _find(
                kind,
                name,
                definition,
                place if own else _Places([root / f"{kind}.yaml"]),
                [kind, name] if own else [name],
            )
    return result


def _find(kind: str, name: str, definition: Mapping[str, Any], place: "_Places", path: list[str]) -> None:
    """A place that is nowhere ends here, before anything runs; what is on the hub is looked up by the first job that needs it."""
    parts = [([key], definition[key]) for key in ("source", "target", "tokenizer") if key in definition]
    parts += [(["retain", split], places) for split, places in (definition.get("retain") or {}).items()]
    for key, places in parts:
        try:
            resolve(places, what=f"{kind.removesuffix('s')} {name}")
        except BaldroError as error:
            raise BaldroError(f"{place.at([*path, *key])}: {error}") from None
    looks = {
        "fluency": lambda: classifier(name, definition),
        "alternates": lambda: alternate_files(definition, what=f"benchmark {name}"),
        "holdout": lambda: check_splits(definition, what=f"benchmark {name}"),
    }
    for key, look in looks.items() if kind == "benchmarks" else ():
        try:
            look()
        except BaldroError as error:
            raise BaldroError(f"{place.at([*path, key])}: {error}") from None


def schema_of_everything() -> dict[str, Any]:
    """The schema file, completed by what the methods' modules declare: their names, and their fields as axes."""
    schema = read(SCHEMA)
    axes = schema["$defs"]["axes"]["properties"]
    axes["stage"]["items"] = {"enum": list(stages())}
    axes["objective"]["items"] = {"enum": [*rows(), *INSTEAD]}
    axes["variant"]["items"] = axes["retain_variant"]["items"] = {"enum": list(VARIANTS)}
    axes["combiner"]["items"] = {"enum": list(COMBINERS)}
    axes |= {name: _property(spec) for name, spec in own_fields().items()}
    schema["$defs"]["metric"]["enum"] = list(
        dict.fromkeys(name for names in _metrics(schema).values() for name in names)
    )
    return schema


def _metrics(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """Metrics by kind of benchmark."""
    tofu, muse = (schema["$defs"][f"{kind}_metric"]["enum"] for kind in ("tofu", "muse"))
    return {"fictional": tofu, "tofu": tofu, "muse": muse}


def _property(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A field as the schema has it: one value or a list of them; a number may come as text, since YAML reads 1e-5 as such."""
    kept = {"description": spec["text"], "default": spec["default"], "minItems": 1}
    if "choices" in spec:
        return {**kept, "type": ["string", "array"], "items": {"enum": list(spec["choices"])}}
    words = {"at_least": "minimum", "above": "exclusiveMinimum", "at_most": "maximum", "below": "exclusiveMaximum"}
    bounds = {words[end]: spec[end] for end in words if end in spec}
    return {**kept, **bounds, "type": ["number", "string", "array"], "items": {"type": ["number", "string"], **bounds}}


def read(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, in which no key stands twice."""
    text = read_text(Path(path), what="a YAML file")
    try:
        value = yaml.load(text, Loader=_once(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "context_mark", None) or getattr(
            error, "problem_mark", None
        )  # where the unfinished thing began
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise BaldroError(f"{path}:{line}: not YAML: {problem}; allowed: key: value, lists in [brackets]") from None
    if not isinstance(value, dict):
        raise BaldroError(f"{path}:1: holds {type(value).__name__}; allowed: a mapping of keys to values")
    return value


def _once(path: str | Path) -> type[yaml.SafeLoader]:
    """A loader of YAML that refuses a key which stands twice in a mapping: the standard asks for it, and yaml.safe_load keeps the last.

    What a merge (`<<`) brings and the mapping has itself is no such key: it overrides.
    """

    class Once(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                line, name = key.start_mark.line + 1, (key.tag, str(key.value))
                if isinstance(key, yaml.ScalarNode) and name in lines:
                    raise BaldroError(
                        f"{path}:{line}: key {key.value!r} stands twice (first in line {lines[name]}); allowed: once, "
                        "for only one of them would count"
                    )
                lines[name] = line
            return node

    return Once


def _check_once(files: Sequence[str | Path]) -> None:
    """The same of files that another parser has read, which has kept one value of each key; JSON is YAML but for tabs."""
    for path in map(Path, files):
        if path.is_file():
            with suppress(yaml.YAMLError):
                yaml.compose(read_text(path, what="a YAML file").replace("\t", " "), Loader=_once(path))


def _new(own: Mapping[str, Any], shared: Mapping[str, Any], kind: str, place: "_Places") -> Mapping[str, Any]:
    for name, definition in own.items():
        if name in shared and shared[name] != definition:
            raise BaldroError(
                f"{place.at([kind, name])}: {name!r} is defined otherwise in {kind}.yaml; allowed: one definition a name, so choose another"
            )
    return own


def _validate(value: Any, schema: Mapping[str, Any], place: "_Places") -> None:
    from jsonschema import Draft202012Validator  # here: who makes runs without a config can do without it
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is None:
        return
    path = list(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        key = next(k for k in error.instance if k not in known)
        section = ".".join(str(p) for p in path) or "the config"
        if key in AMBIGUOUS and AMBIGUOUS[key].split()[0] in known:
            raise BaldroError(f"{place.at([*path, key])}: {key!r} is not a key of {section}; write {AMBIGUOUS[key]}")
        raise BaldroError(f"{place.at([*path, key])}: {unknown('key', key, known, where=section)}")
    shown = ".".join(str(p) for p in path) or "the config"
    raise BaldroError(f"{place.at(path)}: {shown}: {_words(error)}")


def _words(error: Any) -> str:
    value, rule = error.instance, error.validator_value
    match error.validator:
        case "enum":
            what = next((p for p in reversed(error.absolute_path) if isinstance(p, str)), "value")
            return str(unknown(what, value, rule))
        case "required":
            return f"lacks {next(k for k in rule if k not in value)}; required: {', '.join(rule)}"
        case "minItems":
            return "is empty; allowed: at least one value"
        case "oneOf":
            names = [option["required"][0] for option in rule]
            return f"has {', '.join(n for n in names if n in value) or 'none of them'}; allowed: exactly one of {', '.join(names)}"
        case "exclusiveMinimum":
            return f"is {value}; allowed: above {rule}"
        case "minimum":
            return f"is {value}; allowed: at least {rule}"
        case "maximum":
            return f"is {value}; allowed: at most {rule}"
        case "exclusiveMaximum":
            return f"is {value}; allowed: below {rule}"
        case "type":
            return f"is {value!r}; allowed: {rule if isinstance(rule, str) else ' or '.join(rule)}"
        case "pattern":
            return f"is {value!r}; allowed: text that matches {rule}"
    return f"{error.message}; see {SCHEMA.name}"


class _Places:
    """Where in which file a key stands."""

    def __init__(self, files: Sequence[str | Path]):
        self.files = [Path(f) for f in files]

    @cached_property
    def nodes(self) -> list[Any]:
        """The files' syntax trees, which only a mistake asks for."""
        return [yaml.compose(read_text(f)) for f in self.files if f.is_file()]

    def at(self, path: Sequence[Any]) -> str:
        """`file:line` of a key, or of the deepest part of the path that a file holds (the last file wins, as in Snakemake)."""
        best = (0, "config (command line)" if not self.files else f"{self.files[-1]}")
        for file, node in zip(self.files, self.nodes, strict=False):
            depth, line = _descend(node, path)
            if depth >= best[0]:
                best = (depth, f"{file}:{line}")
        return best[1]

    def near(self, message: str) -> str:
        """`file:line` of the first line that holds the name or the value which a message quotes, as a word of its own."""
        quoted = re.findall(r"'([^']+)'|(?:axis|field) (\w+)", message.partition("; allowed")[0])
        words = [a or b for a, b in quoted] or message.split()[:1]
        for (
            word
        ) in words:  # in their order: a value that is a default stands in no file, but what it is held against does
            for file in self.files:
                for number, line in enumerate(read_text(file).splitlines(), 1):
                    if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", line.split("#")[0]):
                        return f"{file}:{number}"
        return str(self.files[-1]) if self.files else "config (command line)"


def _descend(node: Any, path: Sequence[Any]) -> tuple[int, int]:
    line = node.start_mark.line + 1 if node is not None else 1
    for depth, key in enumerate(path):
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if pair is None:
                return depth, line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            return depth, line
    return len(path), line
