"""Files of rows as users bring them: other types, encodings and layouts."""

import json

import pytest
from refusals import refused

from baldro.benchmarks import jsonlines
from baldro.errors import BaldroError

ROWS = [{"question": "Où?", "answer": "Là\u2028bas."}, {"question": "Wer?", "answer": "Größe β, 😀."}]


def lines(rows=ROWS, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows)


@pytest.mark.parametrize(
    "content",
    [
        lines().encode(),
        lines().encode("utf-8-sig"),
        lines(end="\r\n").encode(),
        lines().rstrip().encode(),
        (lines() + "\n \n").encode(),
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode("utf-8-sig"),
    ],
    ids=["lines", "mark", "windows", "no end", "empty at the end", "array", "array of windows"],
)
def test_the_rows_are_the_rows(tmp_path, content):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    assert [row for _, row in jsonlines.read(path)] == ROWS


@pytest.mark.parametrize(
    ("content", "said"),  # by what reads texts: an encoding, a key
    [
        (lines().encode("utf-16"), ": .*UTF-16"),
        (lines().encode("utf-16-be"), ": .*UTF-16"),
        (lines().encode("utf-32"), ": .*UTF-32"),
        ('{"a": "b"}\n{"a": "caf\xe9"}\n'.encode("cp1252"), ":2: byte 0xe9"),
        (b'{"a": 1}\n{"a": 1, "b": 2, "a": 1}\n', ":2: .*'a'"),
        (b'[{"a": 1}, {"b": {"c": 1, "c": 2}}]', " row 1: .*'c'"),
    ],
)  # fmt: skip
def test_what_is_no_text_or_has_a_key_twice(tmp_path, content, said):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(BaldroError, match=rf"^{path}{said}"):
        jsonlines.read(path)


@pytest.mark.parametrize(
    ("content", "code", "where"),
    [
        (b'{"a": 1}\n\n{"a": 2}\n', "empty-line", ":2: "),
        (b'{"a": 1}\n\r\n{"a": 2}\n', "empty-line", ":2: "),
        (b"", "empty-line", ":1: "),
        (b'{"a": 1}\n[1, 2]\n', "not-an-object", ":2: a list"),
        (b'[{"a": 1}, 3]', "not-an-object", " row 1: a number"),
        (b'[{"a": 1} {"a": 2}]', "not-json", " row 0: "),
        (b'[{"a": 1}, {"a": 2}', "not-json", ": "),
        (b'[{"a": 1}]\n[{"a": 1}]', "not-json", ": "),
        (b" [ ] ", "no-rows", ": "),
        (b'{\n "a": 1\n}\n', "not-json", ":1: "),
        (b"[" * 100_000, "not-json", " row 0: "),
    ],
)
def test_what_is_no_rows_is_one_line(tmp_path, content, code, where):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with refused(code, f"{path}{where}"):
        jsonlines.read(path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "is missing or empty"),
        ("", "is missing or empty"),
        (" \n\u00a0\t", "is missing or empty"),
        (1956, r"is a number (1956); allowed: text, in quotes"),
        (float("nan"), "is a number (nan); allowed: text, in quotes"),
        (True, "is true or false (True); allowed: text, in quotes"),
        (["a"], "is a list (['a']); allowed: text, in quotes"),
        ({}, "is an object ({}); allowed: text, in quotes"),
        ("a\ud83d", "has half a surrogate pair ('\\ud83d'), which is no character; allowed: whole characters"),
        ("😀", None),
        ("1956", None),
    ],
)
def test_what_is_no_text_for_a_model(value, said):
    assert jsonlines.fault(value) == said
