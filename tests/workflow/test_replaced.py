"""Another model, template, classifier or row at the same place: what was made of the last is made anew, whatever the files' times say.

The whole experiment is played by a `baldro` that only writes its outputs; Snakemake, the grid and the hashes are real.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from .conftest import Checkout

pytestmark = pytest.mark.processes

STUB = """#!/usr/bin/env python
import json, sys
from pathlib import Path
verb, words = sys.argv[1], sys.argv[2:]
options = dict(zip(words[0::2], words[1::2]))
if verb == "train":
    folder = Path(options["--output"])
    (folder / "model").mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "train.csv", "dynamics.parquet", "model/config.json"):
        (folder / name).write_text(name)
    if "--samples" in options:
        Path(options["--samples"]).write_text("samples")
elif verb == "report":
    config = json.loads(options["--config"])
    Path("results/reports", config["name"], "report.html").write_text("report")
elif verb != "summary":
    for option in ("--output", "--per-sample"):
        if option in options:
            Path(options[option]).write_text(verb)
"""
RUN = "rows--other--forget10--{}"
SEEDS = [RUN.format("simnpo"), RUN.format("npo")]


@pytest.fixture(scope="module")
def played(fresh, tmp_path_factory) -> Checkout:
    """The finished experiment of a model that others made, and of a benchmark, a classifier and a model file that lie in folders."""
    folder = shutil.copytree(fresh.folder, tmp_path_factory.mktemp("played") / "checkout")
    (folder / "bin" / "baldro").write_text(STUB)
    for name in ("target", "retained", "judge"):
        (folder / name).mkdir()
        for file in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
            (folder / name / file).write_text(f"{{}} {name} {file}")
    (folder / "versions" / "1").mkdir(parents=True)
    for split in ("full", "forget10", "retain90"):
        (folder / "versions" / "1" / f"{split}.json").write_text('{"question": "Who?", "answer": "Chika."}\n')
    (folder / "rows").symlink_to("versions/1")
    (folder / "others.jsonl").write_text("{}\n")
    config = dict(
        name="replaced",
        models={"other": dict(target=["target"], retain={"retain90": ["retained"]})},
        benchmarks={
            "rows": dict(kind="tofu", source=["rows"], forget={"forget10": "retain90"}, fluency=["judge"])
            | dict(alternates=["others.jsonl"])
        },
        grid=dict(benchmark="rows", model="other", split="forget10", objective=["npo", "simnpo"], variant="base"),
    )
    (folder / "replaced.yaml").write_text(yaml.safe_dump(config))
    checkout = Checkout(folder)
    checkout.snakemake("replaced.yaml", "--cores", "2")
    return checkout


@pytest.fixture
def other(played, tmp_path) -> Checkout:
    """A copy for a test to change, links and times kept."""
    return replace(played, folder=shutil.copytree(played.folder, tmp_path / "checkout", symlinks=True))


def swapped(path: Path, text: str = "other") -> None:
    """Another file takes the place; it is older than all results, and as long as the last where that can be."""
    text = text.ljust(path.stat().st_size)
    new = path.with_name("new")
    new.write_text(text)
    os.utime(new, (10**9, 10**9))
    new.replace(path)


ALL = {"weights", "reference", "unlearn", "score", "metrics", "report"}


def test_at_the_end_there_is_nothing_to_do_and_another_time_or_a_copy_is_no_other_file(other):
    for path in (other.folder / "target").iterdir():
        path.touch()
    shutil.move(other.folder / "judge", other.folder / "last")
    shutil.copytree(other.folder / "last", other.folder / "judge")
    (other.folder / "rows" / "full.json").touch()
    (other.folder / "target" / "README.md").write_text("What this model is.\n")
    assert other.planned("replaced.yaml") == {}


def test_other_weights_of_the_target_make_all_that_starts_from_it(other):
    """And a seed that is added beside them does not stand alone on them."""
    swapped(other.folder / "target" / "model.safetensors")
    found = {rule: [run.rstrip(",") for run in runs] for rule, runs in other.planned("replaced.yaml").items()}
    assert len(found.pop("weights")) == 1 and found.pop("report") == [""]
    assert found == {
        "reference": [RUN.format("original")],
        "unlearn": sorted(SEEDS),
        "score": [RUN.format("original")],
        "metrics": sorted([*SEEDS, RUN.format("original")]),
    }
    config = yaml.safe_load((other.folder / "replaced.yaml").read_text())
    config["grid"]["seed"] = [0, 1]
    (other.folder / "seeds.yaml").write_text(yaml.safe_dump(config))
    assert other.planned("seeds.yaml")["unlearn"] == sorted([*SEEDS, *(f"{run}--seed=1" for run in SEEDS)])


def test_another_retain_model_is_scored_and_all_is_compared_with_it(other):
    """And nothing is trained."""
    swapped(other.folder / "retained" / "model.safetensors")
    assert other.rules("replaced.yaml") == {"weights": 1, "score": 1, "metrics": 4, "report": 1}


def test_what_a_prompt_is_made_from_is_described_again_and_all_is_made_anew(other):
    swapped(other.folder / "target" / "chat_template.jinja")
    assert ALL | {"model"} == set(found := other.rules("replaced.yaml"))
    assert (found["weights"], found["unlearn"], found["score"]) == (2, 2, 2)


def test_another_classifier_judges_anew(other):
    swapped(other.folder / "judge" / "model.safetensors")
    found = other.rules("replaced.yaml")
    assert found == {"classifier": 1, "unlearn": 2, "score": 2, "metrics": 4, "report": 1}, "unlearned models are gone"


def test_other_rows_are_another_benchmark(other):
    """A link that is turned to another folder of the same names."""
    shutil.copytree(other.folder / "versions" / "1", other.folder / "versions" / "2", copy_function=shutil.copy2)
    swapped(other.folder / "versions" / "2" / "forget10.json", '{"question": "Who?", "answer": "Rosa."}')
    (other.folder / "rows").unlink()
    (other.folder / "rows").symlink_to("versions/2")
    assert set(other.rules("replaced.yaml")) == {"benchmark", *ALL} - {"weights"}


def test_places_begin_in_the_checkout_wherever_snakemake_works(played, tmp_path):
    """The folder that it works in has a `target` of its own, which is not meant."""
    (tmp_path / "elsewhere" / "target").mkdir(parents=True)
    (tmp_path / "elsewhere" / "target" / "config.json").write_text("{}")
    options = (
        "--directory",
        str(tmp_path / "elsewhere"),
        "--workflow-profile",
        "none",
        "--dry-run",
        "--printshellcmds",
    )
    said = played.snakemake(str(played.folder / "replaced.yaml"), *options)
    text = said.stdout + said.stderr
    assert f"{played.folder}/target/config.json" in text and f"{played.folder}/retained/model.safetensors" in text
    assert "input: target/" not in text and f"{tmp_path}/elsewhere/target" not in text
