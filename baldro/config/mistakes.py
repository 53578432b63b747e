"""A mistake in a config as one line: file, line, section, what is wrong and what is allowed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from baldro.config.yamlfile import Places
from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import AMBIGUOUS

UNKNOWN = ("extra_forbidden", "invalid_key")
BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
}
"""A type, as pydantic names it, in words."""


def checked(kind: Any, value: Any, place: Places) -> Any:
    """A value as its type has it.

    Args:
        kind: a model, or a type that is made of models.
        place: where the value comes from.

    Raises:
        BaldroError: the first mistake in it; a key that is not known comes before all others, since it may be why another one is missing.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda one: one["type"] not in UNKNOWN)
    path = _path(value, [*first["loc"], *_quoted(first.get("ctx", {}).get("discriminator", ""))])
    mistake = _mistake(kind, first, path)
    raise BaldroError(mistake.code, f"{place.at(path)}: {mistake}")


def _mistake(kind: Any, error: Mapping[str, Any], path: Sequence[Any]) -> BaldroError:
    """What pydantic found, in our words; without the file and the line."""
    given, what, facts = error["input"], error["type"], error.get("ctx", {})
    shown = ".".join(map(str, path)) or "the config"
    name = next((key for key in reversed(path) if isinstance(key, str)), "value")
    if what in UNKNOWN:
        return _unknown_key(path, _fields(kind, error["loc"][:-1]))
    if what == "value_error":
        said = facts["error"]  # a BaldroError: our validators raise no other
        return said if str(said).startswith(f"{name} ") else BaldroError(said.code, f"{shown}: {said}")
    if what == "missing":
        needed = [key for key, field in _fields(kind, error["loc"][:-1]).items() if field.is_required()]
        return BaldroError("missing-key", f"{shown}: lacks {error['loc'][-1]}; required: {', '.join(needed)}")
    if what == "literal_error":
        return unknown(name, given, _quoted(facts["expected"]))
    if what == "union_tag_invalid":
        return unknown(name, facts["tag"], _quoted(facts["expected_tags"]))
    if what == "union_tag_not_found":
        return BaldroError("missing-key", f"{shown}: lacks {_quoted(facts['discriminator'])[0]}")
    if what == "too_short":
        return BaldroError("empty-list", f"{shown}: is empty; allowed: at least one value")
    if what in BOUNDS:
        word, key = BOUNDS[what]
        return BaldroError("out-of-bounds", f"{shown}: is {given}; allowed: {word} {facts[key]:g}")
    if what == "string_pattern_mismatch":
        return BaldroError("wrong-form", f"{shown}: is {given!r}; allowed: text that matches {facts['pattern']}")
    allowed = TYPES.get(what.partition("_")[0], error["msg"])
    return BaldroError("wrong-type", f"{shown}: is {given!r}; allowed: {allowed}")


def _unknown_key(path: Sequence[Any], known: Mapping[str, Any]) -> BaldroError:
    key, section = path[-1], ".".join(map(str, path[:-1])) or "the config"
    if key in AMBIGUOUS and AMBIGUOUS[key].split()[0] in known:
        return BaldroError("ambiguous-name", f"{key!r} is not a key of {section}; write {AMBIGUOUS[key]}")
    return unknown("key", key, known, where=section)


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _path(value: Any, place: Sequence[Any]) -> list[Any]:
    """The keys and indices of a place that the value has: pydantic's also tell which type was tried."""
    kept = []
    for key in place:
        if (isinstance(value, Mapping) and key in value) or (isinstance(value, list) and isinstance(key, int)):
            kept.append(key)
            value = value[key]
    return kept


def _fields(kind: Any, place: Sequence[Any]) -> Mapping[str, Any]:
    """The keys of the section at a place; a key that is none of a section's is one of a mapping, an index, or names the kind of section."""
    models = choices = list(_models(kind))
    for key in place:
        inner = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        if inner:
            models = choices = [found for each in inner for found in _models(each)]
        else:  # the last to name one counts: a benchmark may be called as a kind is
            models = [
                one for one in choices if key in get_args(getattr(one.model_fields.get("kind"), "annotation", 0))
            ] or models
    return {name: field for model in models for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)
