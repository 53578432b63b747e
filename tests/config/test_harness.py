"""`lm_eval` of a benchmark: read without the package, which need not be installed to plan or to report."""

import pytest
from refusals import refused

from baldro.config import load

GRID = dict(benchmark="asked", model="mini", split="forget10", objective="npo", variant="base")
FICTIONAL = dict(kind="fictional", authors=10, questions=2, known_authors=5, background_authors=2, world_facts=5)
TASKS = ["truthfulqa_mc1", "gsm8k/exact_match,flexible-extract"]


def config(asked: dict, **more: object) -> dict:
    benchmark = FICTIONAL | {"forget": {"forget10": "retain90"}, "lm_eval": asked}
    return {"name": "asked", "benchmarks": {"asked": benchmark}, "grid": GRID} | more


def test_each_task_is_a_column_that_the_report_may_select_by():
    best = {"rule": "best", "metric": "lm_eval_truthfulqa_mc1"}
    experiment = load(config({"tasks": TASKS}, selection=best))
    columns = experiment.harness("asked").columns
    assert [c.name for c in columns] == ["lm_eval_truthfulqa_mc1", "lm_eval_gsm8k_exact_match_flexible_extract"]
    assert [(c.task, c.metric, c.filter) for c in columns] == [
        ("truthfulqa_mc1", "", ""), ("gsm8k", "exact_match", "flexible-extract"),
    ]  # fmt: skip
    with refused("unknown-metric", "lm_eval_mmlu", "lm_eval_truthfulqa_mc1"):
        load(config({"tasks": TASKS}, selection=best | {"metric": "lm_eval_mmlu"}))


@pytest.mark.parametrize(
    ("asked", "code", "facts"),
    [
        ({}, "missing-key", ["tasks"]),
        ({"tasks": []}, "empty-list", ["tasks"]),
        ({"tasks": ["two words"]}, "wrong-form", ["two words"]),
        ({"tasks": ["gsm8k", "gsm8k"]}, "named-twice", ["gsm8k"]),
        ({"tasks": TASKS, "limit": 0}, "out-of-bounds", ["limit"]),
        ({"tasks": TASKS, "fewshot": 2}, "unknown-key", ["fewshot", "num_fewshot"]),
        ({"tasks": TASKS, "include_path": "nowhere/there"}, "place-not-found", ["nowhere/there"]),
    ],
)
def test_what_it_may_not_say(asked, code, facts):
    with refused(code, *facts):
        load(config(asked))
