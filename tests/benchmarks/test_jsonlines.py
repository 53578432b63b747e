"""Files of rows as users bring them: other types, encodings and layouts."""

import json

import pytest

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
    ("content", "said"),
    [
        (lines().encode("utf-16"), r": is in UTF-16; allowed: JSON lines.*saved as UTF-8$"),
        (lines().encode("utf-16-be"), ": is in UTF-16, it seems; allowed"),
        (lines().encode("utf-32"), ": is in UTF-32; allowed"),
        ('{"a": "b"}\n{"a": "caf\xe9"}\n'.encode("cp1252"), ":2: byte 0xe9 is not UTF-8, so the file has another encoding"),
        (b'{"a": 1}\n\n{"a": 2}\n', ":2: an empty line; allowed: JSON lines"),
        (b'{"a": 1}\n\r\n{"a": 2}\n', ":2: an empty line; allowed"),
        (b"", ":1: an empty line; allowed"),
        (b'{"a": 1}\n{"a": 1, "b": 2, "a": 1}\n', ":2: key 'a' stands twice; allowed: once"),
        (b'[{"a": 1}, {"b": {"c": 1, "c": 2}}]', " row 1: key 'c' stands twice"),
        (b'[{"a": 1}, 3]', " row 1: a number; allowed"),
        (b'[{"a": 1} {"a": 2}]', r" row 0: '\{.*' follows it; allowed"),
        (b'[{"a": 1}, {"a": 2}', ": not JSON: the array has no end; is the file cut short"),
        (b'[{"a": 1}]\n[{"a": 1}]', ": not JSON: the array goes on behind its ]"),
        (b" [ ] ", ": an array without rows; allowed"),
        (b'{\n "a": 1\n}\n', ":1: not a JSON object .*is a row on several lines, or the file cut short"),
        (b"[" * 100_000, " row 0: lists or objects in one another beyond all measure"),
    ],
)  # fmt: skip
def test_what_is_no_rows_is_one_line(tmp_path, content, said):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(BaldroError, match=rf"^{path}{said}") as caught:
        jsonlines.read(path)
    assert "\n" not in str(caught.value)


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
