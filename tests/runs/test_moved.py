"""Branches of the hub that moved in this machine's cache since a model was described."""

import json

import pytest

from baldro.config import load
from baldro.runs import moved

A, B = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """(repository, branch, commit): as the hub's client notes where a branch leads."""
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))

    def leads(repository: str, branch: str, commit: str) -> None:
        ref = tmp_path / "home" / "hub" / f"models--{repository.replace('/', '--')}" / "refs" / branch
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)

    return leads


def test_a_branch_that_has_moved_is_a_line(hub, tmp_path):
    other = dict(target=["hub:lab/target@main"], retain={"retain90": [f"hub:lab/retained@{A}"]})
    few = dict(kind="fictional", forget={"forget10": "retain90"})
    grid = dict(benchmark="few", model="other", split="forget10", objective="simnpo")
    experiment = load(dict(name="t", models={"other": other}, benchmarks={"few": few}, grid=grid))
    assert moved(experiment, tmp_path) == [], "not begun"
    starts = {"target": f"hub:lab/target@{A}", "retain90": f"hub:lab/retained@{A}"}
    (tmp_path / "other.json").write_text(json.dumps(dict(starts=starts)))
    assert moved(experiment, tmp_path) == [], "not in this cache"
    hub("lab/target", "main", A)
    hub("lab/retained", "main", B)
    assert moved(experiment, tmp_path) == [], "where it was; and a commit does not move"
    hub("lab/target", "main", B)
    (line,) = moved(experiment, tmp_path)
    assert line.startswith(f"hub:lab/target@main has moved: {tmp_path}/other.json has commit {A}, and so have its runs")
    assert f"has {B}. To make all of the model anew with that, delete {tmp_path}/other.json" in line
