"""Weights that come from outside: which jobs wait for them, and what has them looked at again."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml

pytestmark = pytest.mark.processes  # minutes of the real Snakemake

OTHER = "few--other--forget10--original"
PUBLISHED = {
    "target": ["hub:lab/target@main"],
    "retain": {"retain90": ["hub:lab/retained@v1"]},
    "tokenizer": ["hub:lab/base@main"],
}


@pytest.fixture
def new(fresh, tmp_path):
    """The checkout without results, for a test to change."""
    return replace(fresh, folder=shutil.copytree(fresh.folder, tmp_path / "new"))


def jobs(checkout, config: str, *targets: str) -> dict[str, list[str]]:
    """Rule -> what Snakemake says of each of its jobs that would run."""
    said = checkout.snakemake(config, "--workflow-profile", "none", "--dry-run", "--printshellcmds", *targets)
    found: dict[str, list[str]] = {}
    for rule, text in re.findall(
        r"^(?:local)?rule (\w+):\n((?:    .*\n|\n(?=baldro))+.*)", said.stdout + said.stderr, re.MULTILINE
    ):
        found.setdefault(rule, []).append(text)
    return found


@pytest.mark.parametrize(
    ("definition", "parts", "finetuned"),
    [(PUBLISHED, {"target", "retain90", "tokenizer"}, 0), ({"source": ["nowhere", "hub:lab/base@main"]}, {"base"}, 2)],
    ids=["published", "finetuned here"],
)
def test_what_starts_outside_waits_for_its_weights(new, definition, parts, finetuned):
    """And is told what it was told before: it loads the place, from the cache."""
    found = jobs(new, new.write("outside.yaml", models={"other": definition}, model="other"))
    assert set(re.findall(r"output: results/weights/other/(\w+).json", "".join(found["weights"]))) == parts
    assert len(found["weights"]) == len(parts) and "classifier" not in found
    outside = {"finetune": finetuned, "reference": 0, "unlearn": 0, "score": 0}
    if definition is PUBLISHED:
        outside = {"finetune": 0, "reference": 1, "unlearn": 2, "score": 2}
    for rule, number in outside.items():
        commands = [text.split("baldro ")[1] for text in found.get(rule, [])]
        told = [re.findall(r"--part (\w+)", command) for command in commands]
        inputs = [re.search(r"input: (.*)", text)[1] for text in found.get(rule, [])]
        waits = [re.findall(r"results/weights/other/((?!tokenizer)\w+).json", each) for each in inputs]
        assert told == waits and sum(map(len, waits)) == number
        if definition is PUBLISHED:
            assert all("results/weights/other/tokenizer.json" in each for each in inputs)
        assert not any("results/weights" in command for command in commands)
    assert all("--model results/models/other.json --part" in text for text in found["weights"]), "at one commit"


def test_what_needs_the_network_or_no_model_stays_on_this_machine(fresh):
    """A dry run does not tell: to it every job is local."""
    files = [fresh.folder / "Snakefile", *sorted(fresh.folder.glob("workflow/rules/*.smk"))]
    rules = re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", "".join(path.read_text() for path in files), re.MULTILINE)
    local = {name for name, text in rules if "    localrule: True\n" in text}
    assert local == {"benchmark", "model", "weights", "classifier", "tasks", "metrics", "report", "all"}
    assert {name for name, _ in rules} - local == {"finetune", "reference", "unlearn", "score"}


def test_a_classifier_is_brought_or_looked_at_before_scoring(new):
    """And is named by what was noted of it; one in a folder: test_replaced.py."""
    few = yaml.safe_load((new.folder / "small.yaml").read_text())["benchmarks"]["few"]
    found = jobs(new, new.write("judged.yaml", benchmarks={"few": few | {"fluency": ["hub:lab/judge@main"]}}))
    assert "--place hub:lab/judge@main " in "".join(found["classifier"]) and len(found["classifier"]) == 1
    judged = [*found["score"], *found["unlearn"]]
    assert len(judged) == 4
    assert all("--fluency results/classifiers/few.json" in text for text in judged)
    assert all(re.search("input: .*results/classifiers/few.json", text) for text in judged)


def test_tasks_of_the_harness_are_looked_up_before_scoring(new):
    """By a package that is only there; `baldro tasks` itself: tests/jobs/test_harness.py."""
    (new.folder / "lm_eval.py").write_text("")
    few = yaml.safe_load((new.folder / "small.yaml").read_text())["benchmarks"]["few"]
    asked = few | {"lm_eval": {"tasks": ["gsm8k"], "batch_size": 3}}
    found = jobs(new, new.write("asked.yaml", benchmarks={"few": asked}))
    assert '{"tasks":["gsm8k"],"apply_chat_template":false}' in found["tasks"][0] and len(found["tasks"]) == 1
    scored = [*found["score"], *found["unlearn"]]
    assert len(scored) == 4 and "tasks" not in jobs(new, "small.yaml")
    assert all("--lm-eval results/tasks/few.json" in text and "--lm-eval-batch 3" in text for text in scored)
    assert all(re.search("input: .*results/tasks/few.json", text) for text in scored)


def test_another_commit_is_a_reason_to_run_again_and_the_same_weights_are_none(checkout):
    """After the cache was emptied `baldro download` writes what it wrote before."""
    made = [
        str(path.relative_to(checkout.folder)) for path in checkout.folder.glob("results/runs/*--finetune--*/model")
    ]
    full, retained = (next(path for path in made if f"--{split}--" in path) for split in ("full", "retain90"))
    other = {"target": [full], "retain": {"retain90": [retained]}}
    output = f"results/runs/{OTHER}/reference.parquet"

    def planned(**changes: object) -> set[str]:
        return set(
            jobs(checkout, checkout.write("outside.yaml", models={"other": other | changes}, model="other"), output)
        )

    assert planned() == {"model", "weights", "reference"}
    checkout.snakemake("outside.yaml", "--cores", "1", output)
    weights = checkout.folder / "results/weights/other/target.json"
    assert json.loads(weights.read_text())["place"] == full
    assert planned(target=[f"{full}/../model"]) == {"model", "weights", "reference"}
    text = weights.read_text()
    weights.write_text(text)
    assert planned() == set()
    weights.write_text(text.replace('"commit": null', '"commit": "another"'))
    assert planned() == {"reference"}
