"""What a hash of local files sees, and what it remembers."""

import hashlib
import json
import os
import time
from types import SimpleNamespace

import pytest
from refusals import refused

from baldro.durable import contents
from baldro.durable.contents import content, model_content, model_files

FOLDER = {
    "config.json": "{}",
    "tokenizer.json": "{}",
    "chat_template.jinja": "{{ messages }}",
    "additional_chat_templates/rag.jinja": "{{ documents }}",
    "model.safetensors.index.json": '{"weight_map": {}}',
    "model-00001-of-00002.safetensors": "first",
    "model-00002-of-00002.safetensors": "second",
}
SURPLUS = {"README.md": "words", ".gitattributes": "*", "runs/events.json": "{}", ".cache/huggingface/a.json": "{}"}


def fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def model(tmp_path):
    return fill(tmp_path / "model", FOLDER | SURPLUS)


def test_the_files_of_a_model(model, tmp_path):
    def names(**which):
        return {str(path.relative_to(model)) for path in model_files(model, **which)}

    assert names(weights=True) == set(FOLDER)
    assert names(weights=False) == {name for name in FOLDER if not name.startswith("model")}
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF")
    assert model_files(gguf, weights=False) == model_files(gguf, weights=True) == [gguf], "its tokenizer is in it"


@pytest.mark.parametrize("name", FOLDER)
def test_one_byte_of_any_file_is_seen_and_nothing_else_is(model, name):
    file = model / name
    times, text = file.stat(), file.read_text()
    before = model_content(model, weights=True), model_content(model, weights=False)
    file.touch()
    fill(model, {surplus: "other" for surplus in SURPLUS})
    elsewhere = model.rename(model.with_name("elsewhere"))
    model.symlink_to(elsewhere)
    assert (model_content(model, weights=True), model_content(model, weights=False)) == before
    file.write_text("~" + text[1:])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert model_content(model, weights=True) != before[0]
    assert (model_content(model, weights=False) != before[1]) == (not name.startswith("model"))


def test_names_count_and_their_order_does_not(tmp_path):
    """MUSE has three files called forget.json."""
    files = [tmp_path / each / "forget.json" for each in "ab"]
    fill(tmp_path, {"a/forget.json": "1", "b/forget.json": "2"})
    before = content(files)
    assert content(reversed(files)) == before
    lines = [f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    assert before == hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    fill(tmp_path, {"a/forget.json": "2", "b/forget.json": "1"})
    assert content(files) != before


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """Files that were read for their hash, in a folder that Snakemake has worked in; `forget` is another process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.setattr(contents, "_found", {})
    monkeypatch.setattr(contents, "LARGE", 10)
    read, names = contents._read, []
    monkeypatch.setattr(contents, "_read", lambda path: names.append(path.name) or read(path))
    return SimpleNamespace(names=names, forget=contents._found.clear)


def test_a_large_file_is_read_once_until_it_changes(reads, tmp_path):
    large, small = tmp_path / "large", tmp_path / "small"
    for path, size in ((large, 20), (small, 5)):
        path.write_text("x" * size)
    before = content([large, small])
    reads.forget()
    assert content([large, small]) == before and reads.names.count("large") == 2, "just written: it may change unseen"
    now = time.time
    with pytest.MonkeyPatch.context() as later:
        later.setattr(contents.time, "time", lambda: now() + contents.SETTLED + 1)
        content([large, small])
        reads.names.clear()
        assert content([large, small]) == before and reads.names == []
        reads.forget()
        assert content([large, small]) == before and reads.names == ["small"]
        times = large.stat()
        large.write_text("y" * 20)
        os.utime(large, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert content([large, small]) != before, "as long and as old as before"
        (tmp_path / ".snakemake" / "baldro-contents.json").write_text("[")
        reads.forget()
        large.write_text("x" * 20)
        assert content([large, small]) == before
        kept = json.loads((tmp_path / ".snakemake" / "baldro-contents.json").read_text())
        assert list(kept) == [str(large)]


def test_a_file_that_is_not_there(tmp_path):
    with refused("not-readable", tmp_path / "gone"):
        content([tmp_path / "gone"])
