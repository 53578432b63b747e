"""YAML files with their lines: in none does a key stand twice, and a path of keys has a place, `file:line`."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from baldro.durable.files import read_text
from baldro.errors import BaldroError


def read(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, in which no key stands twice.

    Raises:
        BaldroError: no such file, no YAML, no mapping, a key that stands twice.
    """
    return parsed(path, read_text(Path(path), what="a YAML file"))


@lru_cache(maxsize=8)
def parsed(path: str | Path, text: str) -> dict[str, Any]:
    """The same of a text that was read from a file; not to be changed, since whoever asks for it next gets it again."""
    try:
        value = yaml.load(text, Loader=_once(path))
    except yaml.YAMLError as error:
        # the context is where the unfinished thing began
        mark = getattr(error, "context_mark", None) or getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise BaldroError(
            "not-yaml", f"{path}:{line}: not YAML: {problem}; allowed: key: value, lists in [brackets]"
        ) from None
    if not isinstance(value, dict):
        raise BaldroError("not-a-mapping", f"{path}:1: holds {type(value).__name__}; allowed: keys with values")
    return value


def check_once(files: Sequence[str | Path]) -> None:
    """The same check of files that another parser has read, which has kept one value of each key.

    Raises:
        BaldroError: a key that stands twice.
    """
    for path in map(Path, files):
        if path.is_file():
            with suppress(yaml.YAMLError):  # JSON is YAML but for tabs
                yaml.compose(read_text(path, what="a YAML file").replace("\t", " "), Loader=_once(path))


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
                        "key-stands-twice",
                        f"{path}:{line}: key {key.value!r} stands twice (first in line {lines[name]}); allowed: once",
                    )
                lines[name] = line
            return node

    return Once


class Places:
    """Where in which file a key stands. Snakemake hands a config over without lines, so they are looked up in its files."""

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
        # in their order: a value that is a default stands in no file, but what it is held against does
        for word in [a or b for a, b in quoted] or message.split()[:1]:
            for file in self.files:
                for number, line in enumerate(read_text(file).splitlines(), 1):
                    if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", line.split("#")[0]):
                        return f"{file}:{number}"
        return str(self.files[-1]) if self.files else "config (command line)"


def _descend(node: Any, path: Sequence[Any]) -> tuple[int, int]:
    """(how many keys of the path are there, the line of the last of them)."""
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
