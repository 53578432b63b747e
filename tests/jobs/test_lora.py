"""`baldro train` with LoRA: what it writes is an ordinary model, which every verb goes on from."""

import json
from importlib.util import find_spec

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from .conftest import BENCHMARK, PRETRAIN, TINY, baldro, id_of

pytestmark = pytest.mark.usefixtures("one_thread")
LORA = dict(lora_rank=2, lora_alpha=4, max_steps=3, batch_size=2, lr=0.01, warmup_epochs=0)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    made = dict(benchmark=root / "small.parquet", model=root / "tiny.json")
    codes = [
        baldro("benchmark", definition=json.dumps(BENCHMARK), output=made["benchmark"]),
        baldro("model", name="tiny", definition=json.dumps(TINY), output=made["model"]),
        baldro("train", run=PRETRAIN, part="build", output=root / "base", **made),
    ]
    assert codes == [0] * 3
    return made | dict(start=root / "base/model")


FOUR_BIT = pytest.param(
    {"lora_base": "nf4", "precision": "bf16"},
    marks=pytest.mark.skipif(not find_spec("bitsandbytes"), reason="bitsandbytes is not installed"),
)


@pytest.mark.parametrize("values", [{}, {"lora_start": "fila"}, {"precision": "bf16"}, FOUR_BIT])
@pytest.mark.parametrize("checkpointing", [0, 1])
def test_an_unlearned_model_is_an_ordinary_folder(given, tmp_path, values, checkpointing):
    run = id_of("graddiff", **LORA, **values)
    options = dict(retain_split="retain90", gradient_checkpointing=checkpointing, output=tmp_path)
    assert baldro("train", run=run, **options, **given) == 0
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == sorted(p.name for p in given["start"].iterdir())
    before, after = (load_file(folder / "model.safetensors") for folder in (given["start"], tmp_path / "model"))
    assert set(before) == set(after)
    moved = {name for name in before if not torch.equal(before[name].to(after[name].dtype), after[name])}
    assert moved == {name for name in before if "_proj" in name}
    spec = json.loads((tmp_path / "run.json").read_text())
    assert spec["spec"]["lora_rank"] == 2 and "peft" in spec["versions"] and spec["run"] == run
    samples = tmp_path / "samples.parquet"
    assert baldro("score", **{**given, "start": tmp_path / "model"}, run=run, max_new_tokens=2, output=samples) == 0
    assert len(pd.read_parquet(samples))


def test_a_finetuned_one_too(given, tmp_path):
    assert baldro("train", run=id_of("finetune", "full", **LORA), output=tmp_path, **given) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (given["start"], tmp_path / "model"))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        n for n in before if "_proj" in n
    }


@pytest.mark.parametrize("objective", ["finetune", "gradascent"])
def test_fila_without_a_retain_set_is_one_line(given, tmp_path, capsys, objective):
    run = f"small--tiny--forget10--{objective}--lora_rank=2--lora_start=fila"
    assert baldro("train", run=run, output=tmp_path, **given) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "fila" in error[0] and objective in error[0]


def test_a_rank_that_is_too_high_for_fila_is_one_line(given, tmp_path, capsys):
    run = id_of("graddiff", **LORA | dict(lora_rank=17, lora_start="fila"))
    assert baldro("train", run=run, output=tmp_path, retain_split="retain90", **given) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert all(fact in error for fact in ("lora_rank", "17", "at most 16", "model.layers.0."))
