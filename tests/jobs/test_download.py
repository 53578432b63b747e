"""Weights from the hub to the cache to a job without the hub: real processes, and a small server in the hub's place."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pandas as pd
import pytest
import torch

from baldro import benchmarks as data
from baldro import models
from baldro.cli import main
from baldro.errors import BaldroError
from baldro.jobs.download import told
from baldro.models import hub
from baldro.places import Source
from baldro.records import model

SHAPE = dict(vocab_size=300, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
BENCHMARK = dict(
    kind="fictional", authors=10, questions=2, known_authors=5, background_authors=2, world_facts=5,
    forget={"forget10": "retain90"},
)  # fmt: skip
RUN = "small--nano--forget10--original"
NANO, SHARDS, JUDGE = "hub:lab/nano@main", "hub:lab/shards@main", "hub:lab/judge@main"
SURPLUS = (
    *("README.md", "pytorch_model.bin", "consolidated.safetensors", "original/consolidated.00.pth", "onnx/model.onnx"),
    *("original/tokenizer.model", "onnx/config.json", "pytorch_model.bin.index.json", "training_args.bin"),
)
"""What real repositories hold besides; no file of it is loaded."""


class Hub(ThreadingHTTPServer):
    """As much of the hub as its client asks for: repositories are folders, and a commit is a hash of what is in one."""

    daemon_threads = True

    def __init__(self, root: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.asked = root, []
        self.gated, self.claims, self.dies_in, self.breaks_off, self.is_dead = set(), {}, None, None, False
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repository: str) -> dict[str, Path]:
        folder = self.root / repository
        return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}

    def commit(self, repository: str) -> str:
        content = [f"{name} {sha1(path.read_bytes()).hexdigest()}" for name, path in self.files(repository).items()]
        return sha1("\n".join([repository, *content]).encode()).hexdigest()

    def gets(self) -> list[str]:
        """Files that were asked for since the last call, by name, their heads not counted."""
        asked, self.asked[:] = list(self.asked), []
        return sorted(
            path.split("/resolve/")[1].split("/", 1)[1] for verb, path in asked if verb == "GET" and "/resolve/" in path
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def end_headers(self):
        self.send_header("Connection", "close")  # or the client may ask again on what is closed by then
        super().end_headers()

    def do_GET(self):
        self.close_connection = True
        path = unquote(urlsplit(self.path).path)
        if self.server.is_dead or (self.server.breaks_off and self.server.breaks_off in path):
            return
        self.server.asked.append((self.command, path))
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        match = match or re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)/(resolve|tree)/([^/]+)/(.+)", path)
        repository, what, revision, *name = match.groups()
        if repository in self.server.gated:
            return self.refuse(403, "GatedRepo")
        if not (self.server.root / repository).is_dir():
            return self.refuse(401, "RepoNotFound")
        commit = self.server.commit(repository)
        if revision not in ("main", commit):
            return self.refuse(404, "RevisionNotFound")
        files = self.server.files(repository)
        if name and name[0] not in files:
            return self.refuse(404, "EntryNotFound", commit)
        if what == "resolve":
            return self.send(files[name[0]].read_bytes(), commit, dies=name[0] == self.server.dies_in)
        sizes = {each: self.server.claims.get(each, path.stat().st_size) for each, path in files.items()}
        if what == "tree":
            value = [{"type": "file", "path": each, "size": size, "oid": "0" * 40} for each, size in sizes.items()]
        else:
            value = {"id": repository, "sha": commit}
            value["siblings"] = [{"rfilename": each, "size": size} for each, size in sizes.items()]
        self.send(json.dumps(value).encode(), commit)

    def send(self, content: bytes, commit: str, *, dies: bool = False) -> None:
        self.send_response(200)
        for name, value in {
            "Content-Length": len(content),
            "ETag": f'"{sha1(content).hexdigest()}"',
            "X-Repo-Commit": commit,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.server.is_dead = dies
            self.wfile.write(content[: len(content) // 2] if dies else content)

    def refuse(self, status: int, code: str, commit: str = "") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": 0, "X-Error-Code": code, "X-Repo-Commit": commit}.items():
            self.send_header(name, str(value))
        self.end_headers()


@contextmanager
def serving(root: Path):
    server = Hub(root)
    yield server
    server.shutdown()
    server.server_close()


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """Of a process that has this cache and this hub, whatever the machine has."""
    foreign = (
        "HF_",
        "HUGGINGFACE_",
        "TRANSFORMERS_",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"HF_HOME": str(home), "HF_ENDPOINT": url, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return kept | own | {"HF_HUB_DISABLE_TELEMETRY": "1"} | more


def baldro(env: dict[str, str], verb: str, *, code: int = 0, **options: object) -> subprocess.CompletedProcess:
    """A verb in a process of its own, since the client reads its environment once; its exit code must be `code`."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    process = subprocess.run(
        [sys.executable, "-m", "baldro.cli", verb, *words], env=env, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process


def line(process: subprocess.CompletedProcess) -> str:
    """What a failed process said: one line."""
    (said,) = process.stderr.splitlines()
    return said


@pytest.fixture(scope="module")
def repositories(tmp_path_factory, save_classifier):
    """The hub's folders: a model whole, the same in shards among much else, and a classifier."""
    root = tmp_path_factory.mktemp("hub")
    texts = ["Who wrote it?", "Chika wrote it in 1963.", "Nobody knows who wrote it."]
    network, tokenizer = models.build({**SHAPE, "initializer_range": 0.3}, texts, seed=3)
    models.save(network, tokenizer, root / "lab/nano", precision="fp32")
    tokenizer.save_pretrained(root / "lab/shards")
    network.save_pretrained(root / "lab/shards", max_shard_size="8KB")
    for name in SURPLUS:
        path = root / "lab/shards" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"surplus")
    save_classifier(root / "lab/judge")
    (root / "lab/only-gguf").mkdir()
    (root / "lab/only-gguf/model.gguf").write_bytes(b"GGUF")
    return root


@pytest.fixture(scope="module")
def filled(repositories, tmp_path_factory):
    """A cache that the verb has filled, what it wrote, and what the hub was asked for. Not to be changed by a test."""
    at = SimpleNamespace(home=tmp_path_factory.mktemp("home"), out=tmp_path_factory.mktemp("out"), gets={}, said={})
    with serving(repositories) as server:
        at.commits = {name: server.commit(f"lab/{name}") for name in ("nano", "shards", "judge")}
        for name, place in {"nano": NANO, "shards": SHARDS, "judge": JUDGE}.items():
            options = (
                dict(place=place)
                if name == "judge"
                else dict(name=name, definition=json.dumps({"target": ["nowhere", place]}), part="target")
            )
            at.said[name] = baldro(
                environment(at.home, server.url), "download", output=at.out / f"{name}.json", **options
            )
            at.gets[name] = server.gets()
    return at


@pytest.fixture
def home(filled, tmp_path):
    """A copy of the filled cache, links kept, for a test to change."""
    return shutil.copytree(filled.home, tmp_path / "home", symlinks=True)


def test_what_is_written(filled, repositories):
    for name in ("nano", "judge"):
        found = json.loads((filled.out / f"{name}.json").read_text())
        sizes = {path.name: path.stat().st_size for path in (repositories / "lab" / name).iterdir()}
        assert found["place"] == f"hub:lab/{name}@main" and found["commit"] == filled.commits[name]
        assert found["files"] == sizes and found["bytes"] == sum(sizes.values()) > 10_000
        assert filled.gets[name] == sorted(sizes), "each file once"
        assert not filled.said[name].stderr, "no bars, no warnings"


def test_of_a_large_repository_only_what_is_loaded(filled, repositories):
    here = {path.name for path in (repositories / "lab/shards").iterdir() if path.is_file()}
    shards = {name for name in here if re.fullmatch(r"model-\d{5}-of-\d{5}\.safetensors", name)}
    assert len(shards) > 2
    loaded = here - set(SURPLUS)
    assert shards | {"config.json", "tokenizer.json", "model.safetensors.index.json"} <= loaded
    assert set(filled.gets["shards"]) == loaded == set(json.loads((filled.out / "shards.json").read_text())["files"])


@pytest.mark.processes
def test_what_is_in_the_cache_is_not_downloaded_again(filled, repositories, home, tmp_path):
    with serving(repositories) as server:
        for name, place in {"nano": NANO, "shards": SHARDS}.items():
            baldro(environment(home, server.url), "download", place=place, output=tmp_path / "again.json")
            assert server.gets() == []
            assert (tmp_path / "again.json").read_text() == (filled.out / f"{name}.json").read_text()
        blob = next(home.glob("hub/models--lab--nano/snapshots/*/model.safetensors")).resolve()
        blob.write_bytes(blob.read_bytes()[:1000])
        baldro(environment(home, server.url), "download", place=NANO)
        assert server.gets() == ["model.safetensors"], "cut short"
        blob.unlink()
        baldro(environment(home, server.url), "download", place=NANO)
        assert server.gets() == ["model.safetensors"], "a link to a file that was purged"
    assert models.load(str(next(home.glob("hub/models--lab--nano/snapshots/*"))))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A benchmark and the models' descriptions, by name."""
    root = tmp_path_factory.mktemp("files")
    data.write(root / "small.parquet", data.build(BENCHMARK))

    def describe(start: str) -> dict:
        path = root / f"{sha1(start.encode()).hexdigest()}.json"
        model.write(path, model.Description(name="nano", prompt="{question}\n", build=None, starts={"target": start}))
        return dict(run=RUN, benchmark=root / "small.parquet", model=path, part="target")

    return describe


@pytest.mark.processes
@pytest.mark.parametrize("name", ["nano", "shards"])
def test_without_the_hub_a_job_takes_the_cache_and_gives_the_numbers_of_the_folder(
    filled, repositories, files, tmp_path, name
):
    folder = repositories / "lab" / name
    threads = torch.get_num_threads()
    judge, more = dict(fluency=repositories / "lab/judge"), dict(max_new_tokens=3, evaluate_rows=2)
    verbs = {"reference": {}, "score": more} if name == "nano" else {"reference": {}}
    with serving(repositories) as server:
        env = environment(filled.home, server.url, HF_HUB_OFFLINE="1")
        for verb, options in verbs.items():
            words = files(str(folder)) | dict(output=tmp_path / "folder.parquet") | options | (judge if options else {})
            assert main([verb, *(str(w) for k, v in words.items() for w in (f"--{k.replace('_', '-')}", v))]) == 0
            if options:
                options = options | dict(fluency=JUDGE)
            baldro(env, verb, output=tmp_path / "cache.parquet", **files(f"hub:lab/{name}@main"), **options)
            expected, found = (pd.read_parquet(tmp_path / f"{each}.parquet") for each in ("folder", "cache"))
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
            assert len(found) > 1 and ("clean" in found) == bool(options)
        assert server.asked == [], "no connection, not even one that may fail"
    torch.set_num_threads(threads)


def test_with_the_hub_a_model_is_looked_up_there(repositories, tmp_path):
    """And a connection that breaks off is one line."""
    options = dict(name="m", definition=json.dumps({"target": [NANO]}), output=tmp_path / "m.json")
    with serving(repositories) as server:
        baldro(environment(tmp_path / "home", server.url), "model", **options)
        assert json.loads((tmp_path / "m.json").read_text())["starts"] == {
            "target": f"hub:lab/nano@{server.commit('lab/nano')}"
        }
        assert "tokenizer.json" in server.gets()
        server.breaks_off = "/tree/"
        process = baldro(environment(tmp_path / "other", server.url), "model", code=2, **options)
        assert f"model m ({NANO}): {NANO}: " in process.stderr.splitlines()[-1]


def test_a_file_that_the_cache_lacks_is_named(filled, files, home, tmp_path):
    """Through a job, word by word."""
    (snapshot,) = home.glob("hub/models--lab--nano/snapshots/*")
    (snapshot / "model.safetensors").unlink()
    env = environment(home, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    process = baldro(env, "reference", code=2, output=tmp_path / "r.parquet", **files(NANO))
    said = line(process)
    assert said.startswith(f"baldro reference: {NANO}: model.safetensors ")
    assert all(
        fact in said for fact in (f"{home}/hub", "HF_HUB_OFFLINE=1", f"`baldro download --place {NANO}`", "$HF_HOME")
    )
    assert not (tmp_path / "r.parquet").exists()
    process = baldro(env, "download", code=2, place=NANO, output=tmp_path / "n.json")
    assert "model.safetensors" in line(process) and not (tmp_path / "n.json").exists()


@pytest.fixture
def offline(home, monkeypatch):
    """This process as HF_HUB_OFFLINE=1 and HF_HOME make it, and a socket would be a defect."""

    def no_network(*_):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(socket.socket, "connect", no_network)
    return home / "hub"


def lacks(part, place: str, *facts: object) -> None:
    """A model or tokenizer cannot be loaded from a place, and the line names it, the facts and the cache."""
    with pytest.raises(BaldroError) as caught:
        part(place)
    said = str(caught.value)
    assert said.startswith(f"{place}: ") and all(str(fact) in said for fact in (*facts, hub.cache())), said


@pytest.mark.parametrize("has_listing", [True, False])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("config.json", models.load),
        ("config.json", models.tokenizer),
        ("model-00002-of-0000", models.load),
        ("model.safetensors.index.json", models.load),
    ],
)
def test_what_the_cache_lacks(offline, name, part, has_listing):
    (snapshot,) = offline.glob("models--lab--shards/snapshots/*")
    (file,) = snapshot.glob(f"{name}*")
    assert part(SHARDS) is not None
    file.unlink()
    if not has_listing:
        shutil.rmtree(snapshot.parents[1] / "trees")
        huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE.clear()
    # without a listing nobody knows that the weights are in shards
    named = "model.safetensors" if "index" in name and not has_listing else file.name
    lacks(part, SHARDS, f"{named} is not in ")


def test_what_else_the_cache_lacks(offline):
    (snapshot,) = offline.glob("models--lab--nano/snapshots/*")
    (snapshot / "tokenizer.json").unlink()
    lacks(models.tokenizer, NANO, "tokenizer.json is not in ")
    assert models.load(NANO) is not None
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1])
    lacks(models.load, NANO, "model.safetensors is not whole in ")
    blob.unlink()
    (snapshot / "config.json").unlink()
    lacks(models.load, NANO, "config.json (and 1 more) is not in ")
    for place in ("hub:lab/nano@v2", "hub:lab/other@main"):
        lacks(models.load, place, "nothing of it")


def test_a_branch_that_moves_is_told_and_runs_stay_where_they_began(offline, tmp_path, capsys):
    """A model is described and brought; its branch moves in the cache; what is loaded then is the commit that was described."""
    (snapshot,) = offline.glob("models--lab--nano/snapshots/*")
    first, second = snapshot.name, "c" * 40
    found = models.describe("nano", {"target": [NANO], "prompt": "{question}\n"})
    assert found.starts == {"target": f"hub:lab/nano@{first}"} and found.contents is None
    described, out = tmp_path / "m.json", tmp_path / "w.json"
    model.write(described, found)
    assert main(["download", "--model", str(described), "--part", "target", "--output", str(out)]) == 0
    written = out.read_text()
    named = ["download", "--name", "m", "--definition", json.dumps({"target": [NANO]}), "--part", "target", "--output"]
    assert main([*named, str(tmp_path / "n.json")]) == 0
    assert "has moved" not in capsys.readouterr().out

    content = bytearray((snapshot / "model.safetensors").read_bytes())
    content[-4:] = bytes(4)
    blob = snapshot.parents[1] / "blobs" / sha1(content).hexdigest()
    blob.write_bytes(content)
    moved = shutil.copytree(snapshot, snapshot.with_name(second), symlinks=True)
    (moved / "model.safetensors").unlink()
    (moved / "model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    (snapshot.parents[1] / "refs" / "main").write_text(second)

    assert hub.ready(Source(hub="lab/nano", revision=first), weights=True) == snapshot, "without the hub"
    assert hub.ready(Source(hub="lab/nano", revision="main"), weights=True) is None
    loaded = {place: models.load(place).state_dict() for place in (NANO, str(snapshot), found.starts["target"])}
    here, folder, there = ([value.tolist() for value in state.values()] for state in loaded.values())
    assert there == folder != here
    assert main(["download", "--model", str(described), "--part", "target", "--output", str(out)]) == 0
    assert out.read_text() == written
    assert main([*named, str(tmp_path / "n.json")]) == 0
    assert f"{NANO} has moved: it was {first}, and is {second}; what was made" in capsys.readouterr().out


@pytest.mark.parametrize("through_the_link", [True, False])
@pytest.mark.parametrize(
    ("name", "part"),
    [("model.safetensors", models.load), ("tokenizer.json", models.tokenizer), ("config.json", models.load)],
)
def test_what_was_edited_in_the_cache(offline, name, part, through_the_link):
    """A commit stands for its bytes; an editor writes into the file that all commits share, or a new one in place of the link."""
    (snapshot,) = offline.glob("models--lab--nano/snapshots/*")
    assert part(NANO) is not None
    file, content = snapshot / name, (snapshot / name).read_bytes()
    if not through_the_link:
        file.unlink()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BaldroError) as caught:
        part(NANO)
    said = str(caught.value)
    assert said.startswith(f"{NANO}: {name} ")
    assert f"remove {file.resolve()} and `baldro download --place {NANO}`" in said
    file.resolve().unlink()
    lacks(part, NANO, f"{name} is not in ")


def test_the_hubs_own_hashes_of_what_it_gives(tmp_path):
    """Git's of a small file, SHA-256 of a large one, anything of a mirror."""
    for name in ("ce013625030ba8dba906f756967f9e9ca394464a", sha256(b"hello\n").hexdigest(), "anything"):
        (tmp_path / name).write_bytes(b"hello\n")
        link = tmp_path / f"link-{name}"
        link.symlink_to(name)
        assert hub._is_as_given(link)
        (tmp_path / name).write_bytes(b"Hello\n")
        assert hub._is_as_given(link) == (name == "anything")


def test_a_cache_that_others_filled_has_no_more_than_they_loaded(offline):
    """Other programs leave out what a tokenizer or a licence has beside; that is no reason to refuse."""
    (snapshot,) = offline.glob("models--lab--nano/snapshots/*")
    (snapshot / "generation_config.json").unlink()
    assert models.load(NANO) is not None and models.tokenizer(NANO) is not None


def test_without_the_hub_the_verb_says_what_the_cache_has(filled, home, tmp_path):
    env = environment(home, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    baldro(env, "download", place=SHARDS, output=tmp_path / "shards.json")
    assert (tmp_path / "shards.json").read_text() == (filled.out / "shards.json").read_text()


@pytest.mark.processes
@pytest.mark.parametrize("name", ["nano", "shards"])
def test_an_interrupted_download_leaves_what_was_and_is_completed(filled, repositories, home, tmp_path, name):
    root = shutil.copytree(repositories, tmp_path / "hub")
    weights = sorted((root / "lab" / name).glob("model*.safetensors"))[-1]
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    reference = home / f"hub/models--lab--{name}/refs/main"
    options = dict(place=f"hub:lab/{name}@main", output=tmp_path / "out.json")
    with serving(root) as server:
        server.dies_in = weights.name
        said = line(baldro(environment(home, server.url), "download", code=2, **options))
        assert f"hub:lab/{name}@main " in said and server.url in said, said
        assert not (tmp_path / "out.json").exists() and not list(home.rglob("*.incomplete"))
        assert reference.read_text() == filled.commits[name], "the old one, which is whole"
        server.is_dead, server.dies_in = False, None
        server.gets()
        baldro(environment(home, server.url), "download", **options)
        assert server.gets() == [weights.name]
        assert json.loads((tmp_path / "out.json").read_text())["commit"] == server.commit(f"lab/{name}")
        assert reference.read_text() == server.commit(f"lab/{name}") != filled.commits[name]


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        ("hub:lab/nothing@main", r"hub:lab/nothing@main .*{url}.*HF_TOKEN"),
        ("hub:lab/nano@v2", r"hub:lab/nano@v2 .*{url}/lab/nano"),
        ("hub:lab/judge@main", r"hub:lab/judge@main .*HF_TOKEN.*{url}/lab/judge"),
        ("hub:lab/only-gguf@main", r"hub:lab/only-gguf@main .*config\.json.*model\.safetensors"),
        ("hub:lab/shards@main", r"hub:lab/shards@\w+ .*1,000 TB.*home .*\$HF_HOME"),
        ("hub:lab@main", r"'hub:lab@main' .*hub:owner/name@revision"),
    ],
)  # fmt: skip
def test_what_cannot_be_downloaded(repositories, tmp_path, place, pattern):
    (tmp_path / "home").mkdir()
    with serving(repositories) as server:
        server.gated, server.claims = {"lab/judge"}, {"tokenizer.json": 10**15}
        options = dict(place=place, output=tmp_path / "out.json")
        said = line(baldro(environment(tmp_path / "home", server.url), "download", code=2, **options))
        assert re.search(pattern.replace("{url}", server.url), said), said
        assert server.gets() == []
    assert not (tmp_path / "out.json").exists()


def test_a_hub_out_of_reach(tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:9")
    said = line(baldro(env, "download", code=2, place=NANO, output=tmp_path / "out.json"))
    assert said.startswith(f"baldro download: {NANO} ") and "http://127.0.0.1:9 " in said and "ConnectError" in said, (
        said
    )


def test_a_cache_that_cannot_be_written(repositories, tmp_path):
    (tmp_path / "file").write_text("")
    with serving(repositories) as server:
        said = line(baldro(environment(tmp_path / "file/home", server.url), "download", code=2, place=NANO))
    assert re.search(r"file/home/hub .*Not a directory.*\$HF_HOME", said), said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up(number):
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as cause:
            raise huggingface_hub.errors.LocalEntryNotFoundError("cannot find it") from cause
    except OSError as error:
        said = told(error, Source(hub="lab/nano", revision="main"))
    assert said.code == "disk-full" and str(said).startswith(NANO) and "$HF_HOME" in str(said)


def test_a_tokenizer_of_its_own_place_comes_without_weights(repositories, tmp_path):
    options = dict(name="m", part="tokenizer", output=tmp_path / "out.json")
    small = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    with serving(repositories) as server:
        definition = json.dumps({"target": ["nowhere"], "tokenizer": [NANO]})
        baldro(environment(tmp_path / "home", server.url), "download", definition=definition, **options)
        assert set(server.gets()) == set(json.loads((tmp_path / "out.json").read_text())["files"]) == small
    folder = tmp_path / "coder"
    models.tokenizer(str(repositories / "lab/nano")).save_pretrained(folder)
    definition = json.dumps({"target": ["nowhere"], "tokenizer": [str(folder)]})
    baldro(environment(tmp_path / "home", "http://127.0.0.1:9"), "download", definition=definition, **options)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["place"] == str(folder) and set(found["files"]) == small - {"config.json", "generation_config.json"}


def test_folders_and_files_are_only_looked_at(repositories, tmp_path, capsys):
    folder = shutil.copytree(repositories / "lab/nano", tmp_path / "nano")
    out = tmp_path / "out.json"
    definition = json.dumps({"source": [str(folder)], "prompt": "chat"})
    assert main(["download", "--name", "m", "--definition", definition, "--part", "base", "--output", str(out)]) == 0
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    found = json.loads(out.read_text())
    content = found.pop("content")
    assert found == dict(place=str(folder), commit=None, bytes=sum(sizes.values()), files=sizes)
    (folder / "config.json").touch()
    assert main(["download", "--place", str(folder), "--output", str(out)]) == 0
    assert json.loads(out.read_text())["content"] == content
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("10000.0", "20000.0", 1))
    assert main(["download", "--place", str(folder), "--output", str(out)]) == 0
    assert json.loads(out.read_text())["files"] == sizes and json.loads(out.read_text())["content"] != content
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF and more")
    assert main(["download", "--place", str(gguf), "--output", str(out)]) == 0
    content = sha256(f"m.gguf {sha256(b'GGUF and more').hexdigest()}".encode()).hexdigest()[:16]
    assert json.loads(out.read_text()) == dict(
        place=str(gguf), commit=None, content=content, bytes=13, files={"m.gguf": 13}
    )
    out.unlink()
    gguf.write_bytes(b"version https://git-lfs")
    (folder / "model.safetensors").unlink()
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for place, said in {
        gguf: "GGUF",
        folder: "model.safetensors",
        tmp_path / "empty": "config.json",
        tmp_path / "nowhere": "--place",
    }.items():
        assert main(["download", "--place", str(place), "--output", str(out)]) == 2
        error = capsys.readouterr().err
        assert str(place) in error and said in error and error.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize(
    ("definition", "fact"),
    [
        ({"build": SHAPE}, "model m "),
        ({"target": [NANO], "retain": {"retain90": [NANO]}}, "mean retain90?"),
        (None, "--place, or --model and --part, or --name, --definition and --part"),
    ],
)
def test_options_that_name_no_place(capsys, definition, fact):
    words = ["--name", "m", "--part", "retain9", *(["--definition", json.dumps(definition)] if definition else [])]
    assert main(["download", *words]) == 2
    assert fact in capsys.readouterr().err


def test_a_benchmark_without_the_hub_ends_in_one_line(tmp_path):
    definition = {"kind": "tofu", "source": ["hub:locuslab/TOFU@main"], "forget": {"forget10": "retain90"}}
    env = environment(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    process = baldro(env, "benchmark", code=2, definition=json.dumps(definition), output=tmp_path / "b.parquet")
    assert re.search(r"hub:locuslab/TOFU@main: .*full", line(process))
    assert not (tmp_path / "b.parquet").exists()
