"""The code of a source file without what changes no number: comments, docstrings, messages of errors, layout.

What is left is the file's own tokens, a string literal as it is written: the same on every version of Python that reads the file. (A syntax
tree is not: its nodes change from version to version.) The tree says only where docstrings and messages stand.
"""

import ast
import hashlib
import io
import keyword
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Span = tuple[tuple[int, int], tuple[int, int]]
"""Start and end of a piece of a source, each as line (from 1) and column in characters (from 0)."""
NEWLINE, INDENT, DEDENT = "\n", "\t", "\b"
LAYOUT = {tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}
FORMATTED = ("FSTRING", "TSTRING")
"""Literals that later versions of Python cut into tokens."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a syntax tree in which statements stand."""
BEFORE_PARENTHESES = {"=", "+=", "-=", "*=", "/=", "|=", "&=", "return", "import"}
BEFORE_CONDITION = {"if", "elif", "while", "with"}


def digest(path: Path) -> str:
    """A hash of a file: of the code of a Python file, of all bytes of another."""
    content = path.read_bytes()
    return _of_code(content.decode()) if path.suffix == ".py" else hashlib.sha256(content).hexdigest()


@cache
def _of_code(source: str) -> str:
    return hashlib.sha256(code(source).encode()).hexdigest()


def code(source: str) -> str:
    """The code of a Python source; two sources of one code compute the same."""
    return "\0".join(_without_parentheses(_without_last_commas(list(_tokens(source)))))


@cache
def imports(source: str) -> frozenset[str]:
    """What a source imports from baldro, wherever in it, those for type checkers only left out: of `from a import b` the name `a.b`.

    A relative import is not seen; the project has none.
    """
    names = set()
    for node in _statements(source):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] == "baldro")


def _tokens(source: str) -> Iterator[str]:
    """The texts of the tokens that count; lines and blocks end in markers."""
    spans, lines = sorted(_cut(source)), source.splitlines(keepends=True)
    last, depth, began, blocks, was_cut = NEWLINE, 0, (0, 0), [], False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        while spans and spans[0][1] <= token.start and token.type != tokenize.DEDENT:
            spans.pop(0)
        if name.startswith(FORMATTED):
            depth += name.endswith("START") - name.endswith("END")
            began = token.start if name.endswith("START") and depth == 1 else began
            if depth:
                continue
        elif depth or token.type in LAYOUT:
            continue
        start = began if name.startswith(FORMATTED) else token.start
        is_cut = bool(spans) and spans[0][0] <= start < spans[0][1]
        text = token.string
        if token.type == tokenize.INDENT:
            blocks.append(not is_cut)
            text = INDENT
        elif token.type == tokenize.DEDENT:
            is_cut, text = not blocks.pop(), DEDENT
        elif token.type == tokenize.NEWLINE:
            is_cut, text = is_cut or last in (NEWLINE, INDENT, DEDENT), NEWLINE
        elif name.startswith(FORMATTED):
            text = _slice(lines, start, token.end)
        if not is_cut and not (was_cut and text == ","):  # a formatter sets one behind a message that is long
            last = text
            yield text
        was_cut = is_cut


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    return "".join([lines[start[0] - 1][start[1] :], *lines[start[0] : end[0] - 1], lines[end[0] - 1][: end[1]]])


def _cut(source: str) -> list[Span]:
    """Where the docstrings, the messages of errors and what is for type checkers only stand."""
    lines = source.splitlines(keepends=True)

    def place(line: int, column: int) -> tuple[int, int]:
        text = lines[line - 1]
        return line, column if text.isascii() else len(text.encode()[:column].decode())

    found: list[ast.AST] = []
    for node in _statements(source):
        if _is_text(node) or _is_typing_only(node):
            found.append(node)
        elif isinstance(node, ast.Raise | ast.Assert):
            found += _strings(node.exc if isinstance(node, ast.Raise) else node.msg)
    return [(place(n.lineno, n.col_offset), place(n.end_lineno, n.end_col_offset)) for n in found]


def _statements(source: str) -> Iterator[ast.stmt]:
    """Every statement but those in a block for type checkers only; expressions, which are most of a tree, hold none."""
    queue: list[ast.AST] = [ast.parse(source)]
    for node in queue:
        if isinstance(node, ast.stmt):
            yield node
        if not _is_typing_only(node):
            queue += [each for name in BLOCKS for each in getattr(node, name, ())]


def _strings(node: ast.AST | None) -> Iterator[ast.AST]:
    """The string literals of an expression. Nothing inside of an f-string is asked where it stands: not every Python knows it."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
    elif node is not None:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_typing_only(node: ast.AST) -> bool:
    named = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return named and not node.orelse


def _brackets(tokens: list[str]) -> Iterator[tuple[int, int, int]]:
    """Places of each opening and closing bracket, and the commas directly between them."""
    opened: list[list[int]] = []
    for i, text in enumerate(tokens):
        if text in ("(", "[", "{"):
            opened.append([i, 0])
        elif text == "," and opened:
            opened[-1][1] += 1
        elif text in (")", "]", "}"):
            start, commas = opened.pop()
            yield start, i, commas


def _without_last_commas(tokens: list[str]) -> list[str]:
    """Without the comma that a formatter sets before a bracket at a line's end; the one of `(a,)` and of `x[a,]` makes a tuple."""
    drop = set()
    for start, end, commas in _brackets(tokens):
        if tokens[end - 1] != ",":
            continue
        before = tokens[start - 1] if start else NEWLINE
        called = (before.isidentifier() and not keyword.iskeyword(before)) or before in (")", "]")
        alone = {"(": called or before == "import", "[": not called, "{": True}[tokens[start]]
        if commas > 1 or alone:
            drop.add(end - 1)
    return [text for i, text in enumerate(tokens) if i not in drop]


def _without_parentheses(tokens: list[str]) -> list[str]:
    """Without the pair that a formatter sets around the whole right side of a line that it wraps."""
    drop = set()
    for start, end, _ in _brackets(tokens):
        if tokens[start] != "(" or end == start + 1 or not start:
            continue
        before, after = tokens[start - 1], tokens[end + 1] if end + 1 < len(tokens) else NEWLINE
        if (before in BEFORE_PARENTHESES and after == NEWLINE) or (before in BEFORE_CONDITION and after == ":"):
            drop |= {start, end}
    return [text for i, text in enumerate(tokens) if i not in drop]
