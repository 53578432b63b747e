"""LUME and RWKU from a folder to their numbers, each verb once: a small model of a chat template learns documents, and forgets some."""

import json

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from baldro.metrics.rouge import rouge
from baldro.prompts.prompt import hash_of
from baldro.runs import Run
from tests.benchmarks import test_lume, test_rwku
from tests.prompts.test_prompt import CHATML, MARKS, coder

from .conftest import baldro

RATE = dict(batch_size=6, lr=5e-3, warmup_epochs=0)
WORDS = {"forget": "in red", "retain": "by a lake", "unknown": "elsewhere"}
"""What each side's documents and answers end with."""


def id_of(benchmark, split, objective, **values):
    return Run.of(benchmark=benchmark, model="m", split=split, objective=objective, **values).id


@pytest.fixture(scope="module")
def start(tmp_path_factory, one_thread):
    """A folder with a model of random weights, whose tokenizer has a chat template."""
    folder, tokenizer = tmp_path_factory.mktemp("start"), coder(CHATML, special=MARKS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2)
    ends = dict(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, pad_token_id=1)
    LlamaForCausalLM(LlamaConfig(**ends, **shape)).save_pretrained(folder)
    return folder


def described(root, start, definition):
    """Paths of a benchmark's table and of the model's description, as options."""
    given = dict(benchmark=root / "data.parquet", model=root / "m.json")
    model = dict(target=[str(start)], prompt="{question}")
    assert baldro("benchmark", definition=json.dumps(definition), output=given["benchmark"]) == 0
    assert baldro("model", name="m", definition=json.dumps(model), output=given["model"]) == 0
    return given


def measured(root, name, **options):
    """Numbers and evidence of a model."""
    samples = root / f"{name}.parquet"
    assert baldro("score", output=samples, max_new_tokens=24, **options) == 0
    assert baldro("metrics", run=options["run"], samples=samples, output=root / f"{name}.json", alone=True) == 0
    return json.loads((root / f"{name}.json").read_text()), pd.read_parquet(samples)


def test_lume_learnt_and_then_forgotten(start, tmp_path):
    rows = {side: [row | {"output": word} for row in test_lume.made(side, 1)] for side, word in WORDS.items()}
    texts = {name: [{"document": f"{row['input']} {row['output']}"} for row in own] for name, own in rows.items()}
    test_lume.write(tmp_path, **{f"data__{side}": rows[side] for side in ("forget", "retain")})
    test_lume.write(tmp_path, mia_data__member=texts["forget"], mia_data__nonmember=texts["unknown"])
    folder = [str(tmp_path)]
    definition = dict(kind="lume", source=folder, membership=folder, forget={"forget": "retain"})
    given = described(tmp_path, start, definition)
    learn = id_of("lume", "full", "finetune", epochs=20, **RATE)
    assert baldro("train", run=learn, start=start, output=tmp_path / "full", **given) == 0
    forget = id_of("lume", "forget", "graddiff", variant="baldro-dv", epochs=8, **RATE)
    learnt = tmp_path / "full/model"
    assert baldro("train", run=forget, start=learnt, retain_split="retain", output=tmp_path / "gone", **given) == 0

    before, samples = measured(
        tmp_path, "before", run=id_of("lume", "forget", "original"), start=learnt, holdout="nonmember", **given
    )
    after, _ = measured(tmp_path, "after", run=forget, start=tmp_path / "gone/model", holdout="nonmember", **given)
    for found in (before, after):
        assert set(found["absent"]) == {"mia_gradnorm", "mia_reference", "lume_final"} and len(found["metrics"]) == 23
    for side in ("forget", "retain"):
        assert before["metrics"][f"lume_knowledge_{side}"] > 0.8
        told = samples[samples["section"].str.fullmatch(f"{side}_task._completions")]
        mean = rouge(told["text"].tolist(), told["generation"].tolist())["rougeL_recall"].mean()
        assert before["metrics"][f"lume_regurgitation_{side}"] == pytest.approx(mean)
    assert after["metrics"]["lume_regurgitation_forget"] < before["metrics"]["lume_regurgitation_forget"]
    assert after["metrics"]["lume_aggregate"] >= before["metrics"]["lume_aggregate"]


def test_rwku_forgets_a_person(start, tmp_path):
    for name, rows in test_rwku.files().items():
        test_rwku.write(tmp_path, name, rows)
    definition = dict(kind="rwku", source=[str(tmp_path)], forget={"beyonce": "others"})
    given = described(tmp_path, start, definition)
    forget = id_of("rwku", "beyonce", "gradascent", epochs=6, **RATE)
    assert baldro("train", run=forget, start=start, retain_split="others", output=tmp_path / "gone", **given) == 0
    before, samples = measured(tmp_path, "before", run=id_of("rwku", "beyonce", "original"), start=start, **given)
    after, _ = measured(tmp_path, "after", run=forget, start=tmp_path / "gone/model", **given)
    for found in (before, after):
        assert found["absent"] == {} and len(found["metrics"]) == 9 == len(found["intervals"])
    assert after["metrics"]["rwku_mia_forget"] > before["metrics"]["rwku_mia_forget"]

    assert samples.groupby("section").size().to_dict() == {
        **dict.fromkeys(("forget_level1", "forget_level2", "neighbor_level1", "neighbor_level2"), 2),
        **dict(forget_level3=4, forget_level3_suffix=2, mia_forget=3, mia_retain=3),
    }
    told, tokenizer = samples[samples["generation"].notna()], coder(CHATML, special=MARKS)
    for row in told.itertuples():
        message = [{"role": "user", "content": row.question}]
        asked = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        asked += "" if row.section == "forget_level3_suffix" else "Answer:"
        assert row.sequence == hash_of(tokenizer(asked, add_special_tokens=False)["input_ids"]), "as one text"
    assert not told["generation"].str.contains("\n").any() and told["avg_loss"].isna().all()
    recall = rouge(told["text"].tolist(), told["generation"].tolist())["rougeL_recall"]
    three = told["section"].str.startswith("forget").to_numpy()
    assert before["metrics"]["rwku_forget"] == pytest.approx(recall[three].mean())
    assert before["metrics"]["rwku_neighbours"] == pytest.approx(recall[~three].mean())
