"""A paper's config: the runs of other experiments, each once, for its tables and figures."""

import pytest
import yaml
from refusals import refused

from baldro.config import load
from baldro.plan import describe, jobs

GRID = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo")
NANO = {"build": dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)}


@pytest.fixture
def write(tmp_path):
    """Writes a config and returns its path; a grid unless it has another top level."""

    def file(name: str, **keys: object) -> str:
        keys = keys if {"grid", "paper"} & set(keys) else {"grid": GRID | keys}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, **keys}, sort_keys=False))
        return str(path)

    return file


def test_its_runs_are_those_of_its_experiments_and_each_is_planned_once(write):
    seeds, variants = write("a", seed=[0, 1]), write("b", variant=["base", "baldro-g"])
    paper = load(write("p", paper=dict(figure_3=[variants], table_1=[seeds, variants])))
    assert list(paper.exhibits) == ["table_1", "figure_3"], "in the paper's order"
    assert [part.name for part in paper.exhibits["table_1"]] == ["a", "b"]
    assert paper.exhibits["figure_3"][0] is paper.exhibits["table_1"][1]
    ids = [run.id for run in paper.runs]
    assert len(ids) == len(set(ids)) == 5 and {*load(seeds).runs, *load(variants).runs} == set(paper.runs)
    assert len(jobs(paper)["unlearn"]) == 3 and "3 unlearning runs" in describe(paper, gpu="h200")
    assert set(paper.included) == {seeds, variants}


def test_what_makes_no_paper_is_refused_with_its_place(write, tmp_path):
    one = write("a")
    with refused("empty-paper", "table_1", "percentiles"):
        load(write("p", paper={}))
    with refused("key-of-a-grid", "'selection'"):
        load(write("p", paper=dict(table_1=[one]), selection={"rule": "all"}))
    with refused("not-one-of", "grid, paper"):
        load(write("p", paper=dict(table_1=[one]), grid=GRID))
    with refused("unknown-key", "'table_4'", "table_1"):
        load(write("p", paper=dict(table_4=[one])))
    nested = write("q", paper=dict(table_1=[one]))
    with refused("paper-in-a-paper", f"{tmp_path}/p.yaml:", nested):
        load(write("p", paper=dict(table_1=[one, nested])))
    (tmp_path / "again.yaml").write_text((tmp_path / "a.yaml").read_text())
    with refused("defined-twice", "'a'"):
        load(write("p", paper=dict(table_1=[one], table_2=[str(tmp_path / "again.yaml")])))
    other = {name: NANO | {"prompt": f"{name} {{question}}"} for name in ("x", "y")}
    parts = [write(name, grid=GRID | {"model": "nano"}, models={"nano": other[name]}) for name in other]
    with refused("defined-twice", f"{tmp_path}/p.yaml:2:", "'nano'"):
        load(write("p", paper=dict(table_1=parts)))
    best = write("best", grid=GRID | dict(seed=1), selection={"rule": "best"})
    with refused("two-rules", f"{tmp_path}/p.yaml:2:", "table_2", "fictional and tiny"):
        load(write("p", paper=dict(table_1=[one], figure_3=[best], table_2=[one, best])))
