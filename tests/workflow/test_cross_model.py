"""The study of other models in small: two models with other tokenizers and prompts, each against its own retain model, and fluency."""

import pandas as pd
import pytest
import yaml

from .conftest import ROOT

pytestmark = pytest.mark.processes


def test_two_models_go_through_the_experiments_own_config(checkout, save_classifier):
    small, study = (
        yaml.safe_load(path.read_text())
        for path in (checkout.folder / "small.yaml", ROOT / "experiments/cross-model.yaml")
    )
    save_classifier(checkout.folder / "judge")
    nano = small["models"]["nano"]
    other = nano | {
        "prompt": "[INST] {question} [/INST] ",
        "build": nano["build"] | {"vocab_size": 350, "hidden_size": 24},
    }
    few = small["benchmarks"]["few"] | {"fluency": ["judge"]}
    less = dict(
        benchmark="judged", model=["nano", "other"], split="forget10", seed=0, epochs=1, lora_rank=4, lora_alpha=8
    )
    blocks = [block | less | {"precision": "fp32"} for block in study["grid"]]
    config = small | {"models": {"nano": nano, "other": other}, "benchmarks": {"judged": few}, "grid": blocks}
    (checkout.folder / "twin.yaml").write_text(yaml.safe_dump(config | {"columns": study["columns"]}))
    checkout.snakemake("twin.yaml", "--cores", "2", seconds=900)
    report = checkout.folder / "results/reports/small"
    runs = pd.read_csv(report / "runs.csv")
    assert set(runs["status"]) == {"ok"} and len(runs) == 2 * (2 + 2 * len(study["grid"]))
    for name in ("nano", "other"):
        head = (report / f"tables/judged--{name}.md").read_text().splitlines()[0]
        assert all(short in head for short in ("FQ", "MU", "EM", "ES", "Flu"))
        own = runs[runs["model"] == name].set_index("objective")
        assert own["fluency"].between(0, 1).all() and own.loc["retain", "forget_quality_d"] == 0
