"""Files and folders that are whole or not there: what a reader sees while, and after, something goes wrong."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from refusals import refused

from baldro.durable.files import link, parse_json, read_json, remove, sweep, whole, write_json, write_text
from baldro.errors import BaldroError


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def fill(place, text):
    """A folder of two files, one of them in a folder."""
    (place / "inner").mkdir(parents=True)
    (place / "a").write_text(text)
    (place / "inner/b").write_text(text)


def test_a_file_takes_its_name_at_the_end(tmp_path):
    path = tmp_path / "new/folder/a.txt"
    with whole(path) as beside:
        beside.write_text("all of it")
        assert not path.exists() and beside.parent == path.parent
    assert path.read_text() == "all of it" and names(tmp_path / "new/folder") == ["a.txt"]


def test_a_folder_takes_its_name_at_the_end_and_replaces_the_old_one(tmp_path):
    for text in ("old", "new"):
        with whole(tmp_path / "model") as beside:
            fill(beside, text)
            assert not (tmp_path / "model").exists() or (tmp_path / "model/inner/b").read_text() == "old"
    assert (tmp_path / "model/inner/b").read_text() == "new"
    assert names(tmp_path) == ["a", "b", "inner", "model"]


def test_a_folder_is_never_there_in_part(tmp_path, monkeypatch):
    fill(tmp_path / "model", "old")
    rmtree, seen = shutil.rmtree, []

    def watched(path, **options):
        seen.append([path.read_text() for path in sorted((tmp_path / "model").rglob("[ab]"))])
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with whole(tmp_path / "model") as beside:
        fill(beside, "new")
    assert seen == [["new", "new"]], "the old one goes when the new one is there"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_error_all_is_as_before(tmp_path, error):
    (tmp_path / "a").write_text("old")
    fill(tmp_path / "model", "old")
    before = names(tmp_path)
    for name in ("a", "model"):
        with pytest.raises(error), whole(tmp_path / name) as beside:
            beside.write_text("half") if name == "a" else fill(beside, "half")
            raise error
    assert names(tmp_path) == before and (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "model/a").read_text() == "old"


def test_a_check_has_the_last_word(tmp_path):
    def refuse():
        raise BaldroError("taken-over", "no longer ours")

    write_text(tmp_path / "a", "old")
    with refused("taken-over"), whole(tmp_path / "a", check=refuse) as beside:
        beside.write_text("new")
    with refused("taken-over"), whole(tmp_path / "a", check=refuse) as beside:
        (beside.parent / "nowhere/a").write_text("new")  # the reason for an error comes before the error
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_two_that_write_the_same_file_do_not_write_into_one_another(tmp_path):
    with whole(tmp_path / "a") as first, first.open("w") as early:
        early.write("early, ")
        early.flush()
        with whole(tmp_path / "a") as second:
            second.write_text("the other")
        early.write("and late")
        assert (tmp_path / "a").read_text() == "the other"
    assert (tmp_path / "a").read_text() == "early, and late" and names(tmp_path) == ["a"]


def test_a_reader_sees_one_writing_or_another(tmp_path):
    path, long, seen = tmp_path / "a.json", [list(range(2000)), list(range(3000))], set()
    write_json(path, long[0])
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(len(json.loads(path.read_text())))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(40):
        write_json(path, long[i % 2])
    done.set()
    reader.join()
    assert seen <= {2000, 3000} and len(seen) > 0


def test_the_bytes_are_on_the_disk_before_the_name_is_taken(tmp_path, monkeypatch):
    happened, fsync, replace = [], os.fsync, Path.replace

    def synced(handle):
        happened.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name.split(".")[0])
        fsync(handle)

    def replaced(self, target):
        happened.append(f"rename {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    with whole(tmp_path / "model") as beside:
        fill(beside, "new")
    rename = happened.index("rename model")
    assert {"a", "b", "inner", "model"} <= set(happened[:rename])
    assert happened[rename + 1 :] == [tmp_path.name], "and the name itself after it"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with refused("not-writable", "file/a.json"):
        write_json(tmp_path / "file/a.json", {})
    with refused("not-writable", "b.txt", "No such file or directory"), whole(tmp_path / "b.txt"):
        pass  # nothing was written
    assert names(tmp_path) == ["file"]


def test_what_killed_processes_left_is_swept_what_others_write_now_is_not(tmp_path):
    for name in ("a.0123.part", "a.part", "a.0123.old.part", "ab.0123.part", "a", "a.part.txt"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, ns=(0, 1000))
    fill(tmp_path / "a.4567.part", "")
    os.utime(tmp_path / "a.4567.part", ns=(0, 1000))
    (tmp_path / "a.89ab.part").write_text("")
    os.utime(tmp_path / "a.89ab.part", ns=(0, 3000))
    sweep(tmp_path / "a", before=2000)
    assert names(tmp_path) == ["a", "a.89ab.part", "a.part.txt", "ab.0123.part"]


def test_a_name_with_signs_is_itself(tmp_path):
    for name in ("x[1]", "x1"):
        (tmp_path / f"{name}.0.part").write_text("")
    sweep(tmp_path / "x[1]", before=2**63)
    assert names(tmp_path) == ["x1.0.part"]


def test_a_link_is_the_same_file(tmp_path):
    fill(tmp_path / "a", "text")
    link(tmp_path / "a", tmp_path / "b")
    assert all((tmp_path / "b" / name).samefile(tmp_path / "a" / name) for name in ("a", "inner/b"))
    remove(tmp_path / "a")
    assert (tmp_path / "b/inner/b").read_text() == "text"


def test_without_links_it_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("no links here")

    fill(tmp_path / "a", "text")
    monkeypatch.setattr(os, "link", refuse)
    link(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "b") == names(tmp_path / "a") and (tmp_path / "b/a").read_text() == "text"
    assert not (tmp_path / "b/a").samefile(tmp_path / "a/a")


def test_removing_follows_no_link(tmp_path):
    fill(tmp_path / "a", "text")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    remove(tmp_path / "b")
    remove(tmp_path / "nothing")
    assert not (tmp_path / "b").exists() and (tmp_path / "a/inner/b").exists()


# Texts whatever the locale


def test_a_definition_in_which_a_key_stands_twice():
    with refused("key-stands-twice", "--definition", "'seed'"):
        parse_json('{"kind": "fictional", "seed": 1, "seed": 2}', what="--definition")


@pytest.mark.parametrize(
    ("content", "code", "fact"),
    [
        (b"\xff\xfe{\x00", "not-utf-8", "a.json: is in UTF-16"),
        (b'{\n"a": "\xe9"}', "not-utf-8", "a.json:2: byte 0xe9"),
        (b'{\n"a": ', "not-json", "a.json:2: "),
    ],
)
def test_json_in_another_encoding_is_one_line(content, code, fact, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with refused(code, fact):
        read_json(tmp_path / "a.json")


def test_another_locale_changes_nothing_of_what_is_read(tmp_path):
    """Python would read files in the locale's encoding, ASCII here; a question, a config and a log hold other letters."""
    rows = [{"question": "Wer schrieb „Größe β“? 😀", "answer": f"Łukasz {i}."} for i in range(4)]
    rows_of = {"full": rows, "keep": rows[:2], "secret": rows[2:]}
    wrong = [{**row, "paraphrased_answer": "É.", "perturbed_answer": ["ä", "ö", "ü", "ß", "é"]} for row in rows]
    facts = [{"question": "Où?", "answer": "Là.", "perturbed_answer": ["ä", "ö", "ü"]}]
    rows_of |= {"secret_perturbed": wrong[2:], "retain_perturbed": wrong[:2]}
    for name, each in {**rows_of, "real_authors_perturbed": facts, "world_facts_perturbed": facts}.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in each)
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    path, definition = tmp_path / "größe.yaml", dict(kind="tofu", source=[str(tmp_path)], forget={"secret": "keep"})
    config = {"name": "t", "description": "Größe β", "benchmarks": {"mine": definition}}
    config["grid"] = {"benchmark": "mine", "model": "tiny", "split": "secret", "objective": "npo"}
    path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    table = str(tmp_path / "mine.parquet")
    code = f"""
import locale, sys
from baldro.cli import main
from baldro.config import load
assert locale.getpreferredencoding(False) != "utf-8", locale.getpreferredencoding(False)
assert load(sys.argv[1]).description == "Gr\\xf6\\xdfe \\u03b2"
print(load(sys.argv[1]).description)
sys.exit(main(["benchmark", "--definition", {json.dumps(definition)!r}, "--output", {table!r}, "--log", {table + ".log"!r}]))
"""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    environment = {**os.environ, **locale, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from baldro import benchmarks as data

    read = data.read(Path(table))
    assert data.split(read, "full")["question"][0] == rows[0]["question"]
    assert data.split(read, "secret_perturbed")["perturbed_answer"][1].tolist() == ["ä", "ö", "ü", "ß", "é"]
