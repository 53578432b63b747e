"""The code of a source: what leaves it the same, what does not, and that every version of Python finds the same in it."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from baldro.runs import source as module
from baldro.runs.source import code, digest, imports

FIXTURE = '''"""A module's docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = {"ä": 1, 'ö': 0x10, "long": 1_000.5e-3}  # a comment
"""What a name holds."""


class Größe:
    """A class's docstring."""

    factor: float = 2.0

    def text(self, name: str, *rest: int, width: int = 8) -> str:
        """A function's docstring."""
        if not name:
            raise ValueError(f"no name: {name!r}; " "allowed: " f"{', '.join(map(str, LEVELS))}")
        inner = f"{name:>{width}} {self.factor * 2:.3f} {{}} {LEVELS['long']!s}" + rf"\\d{name}"
        return f"""ä {inner}
        {[x for x in rest if x > 1]}""" if rest else (
            inner
        )


async def walk(items):
    try:
        async for each in items:
            yield each[1:, ...], lambda x, /, y=(1,): x @ y
    except* OSError as error:
        raise RuntimeError("a message") from error
    match items:
        case {"kind": str(kind), **more} if (n := len(more)) > 1:
            print(kind, n, sep="")
        case _:
            pass
'''
RECORDED = "a8a4f9d37b04067e556160e43c1543c7d084c14bbc48dc43148d342a790ee6fe"
EVERY_BLOCK = """
class A:
    def f():
        try:
            pass
        except E:
            raise E("WORDS")
        else:
            raise E("WORDS")
        finally:
            raise E("WORDS")
        match a:
            case 1:
                assert a, "WORDS"
"""
OTHERS = [f"3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_source_has_the_hash_that_was_recorded():
    """Recorded under Python 3.11: if this fails under a later one, every result would be made anew there."""
    assert hashed(code(FIXTURE)) == RECORDED


@pytest.mark.parametrize("version", [each for each in OTHERS if shutil.which(f"python{each}")])
def test_another_version_of_python_finds_the_same_in_every_file(version, tmp_path):
    """Of those that are installed here; the module needs Python's own library alone."""
    environment = {
        **os.environ,
        "PYENV_VERSION": version,
    }  # where pyenv keeps them, a name on PATH starts none without it
    package = Path(module.__file__).parents[1]
    program = (
        "import importlib.util, sys, pathlib\n"
        "spec = importlib.util.spec_from_file_location('source', sys.argv[1])\n"
        "source = importlib.util.module_from_spec(spec); spec.loader.exec_module(source)\n"
        "print(*map(source.digest, sorted(pathlib.Path(sys.argv[2]).rglob('*.py'))))\n"
    )
    (tmp_path / "fixture.py").write_text(FIXTURE, encoding="utf-8")
    for folder in (tmp_path, package):
        command = [f"python{version}", "-I", "-c", program, module.__file__, str(folder)]
        said = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert said.stdout.split() == [digest(path) for path in sorted(folder.rglob("*.py"))], said.stderr


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\n", "# a comment\n\nx  =  1  # another\n"),
        ('def f():\n    """Some words."""\n    return 1\n', "def f():\n  return 1\n"),
        ('X = 1\n"""What X is."""\nY = 2\n', "X = 1\nY = 2\n"),
        ('raise E(f"{x} is wrong", 3) from None\n', 'raise E("x" f"is {not_x}", 3) from None\n'),
        ('raise E("code", "short")\n', 'raise E(\n    "code",\n    "a longer one",\n)\n'),
        ('assert x, "why"\n', 'assert x, "why not"\n'),
        tuple(EVERY_BLOCK.replace("WORDS", words) for words in ("short", "longer")),
        ("if TYPE_CHECKING:\n    import a\nx = 1\n", "x = 1\n"),
        ("x = 0, 1\n", "x = (\n    0,\n    1,\n)\n"),
        ("x = [0, 1]\n", "x = [\n    0,\n    1,\n]\n"),
        ("return_ = f(a)\n", "return_ = f(\n    a,\n)\n"),
        ("from a import b\n", "from a import (\n    b,\n)\n"),
        ("def f(a, b): ...\n", "def f(\n    a,\n    b,\n): ...\n"),
        ("if a and b:\n    x = 1\n", "if (\n    a\n    and b\n):\n    x = 1\n"),
        ("x = a + \\\n    b\n", "x = a + b\n"),
    ],
)
def test_words_and_layout_are_no_code(one, other):
    assert code(one) == code(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = (1,)\n", "x = (1)\n"),
        ("x[1,]\n", "x[1]\n"),
        ("x = a in (b, c)\n", "x = a in b, c\n"),
        ("x = (a + b) * c\n", "x = a + b * c\n"),
        ("if a:\n    b\n    c\n", "if a:\n    b\nc\n"),
        ("x = 'a b'\n", "x = 'a  b'\n"),
        ("x = f'{a:3}'\n", "x = f'{a:4}'\n"),
        ("x = f'{a}'\n", "x = '{a}'\n"),
        ("f('a')\n", "f('b')\n"),
        ("raise E(3)\n", "raise E(4)\n"),
        ("raise E('a')\n", "raise F('a')\n"),
        ("a = 1\nb = 2\n", "a = 1; b = 3\n"),
        ("x: int = 1\n", "x: float = 1\n"),
        ("assert x, 'why'\n", "assert y, 'why'\n"),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    a = 1\n", "if TYPE_CHECKING:\n    import a\nelse:\n    a = 2\n"),
    ],
)
def test_what_computes_otherwise_is_other_code(one, other):
    assert code(one) != code(other)


def test_imports_are_found_wherever_they_stand_but_for_type_checkers():
    source = """
import baldro.x
from baldro import y as z
from numpy import w
def f():
    from baldro.u import v
if TYPE_CHECKING:
    from baldro.t import s
"""
    assert imports(source) == {"baldro.x", "baldro.y", "baldro.u.v"}
