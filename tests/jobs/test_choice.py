"""Questions with options from the generator to their numbers: texts are learnt and forgotten, and each verb is called once."""

import json

import pandas as pd
import pytest
from safetensors.torch import load_file

from baldro.runs import Run

from .conftest import baldro

BENCHMARK = dict(kind="fictional_choice", authors=4, questions=3, background_authors=1, forget={"forget25": "retain75"})
SHAPE = dict(vocab_size=500, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
RATE = dict(batch_size=8, lr=1e-2, warmup_epochs=1, schedule="cosine")


def id_of(objective, split="forget25", **values):
    return Run.of(benchmark="exam", model="tiny", split=split, objective=objective, **values).id


RELEASED = dict(rmu_positions="padded", rmu_weights="down-proj")
FORGET = id_of("rmu", rmu_layer=1, rmu_steering=20, epochs=30, batch_size=2, lr=1e-2, **RELEASED)


@pytest.fixture(scope="module")
def made(tmp_path_factory, one_thread):
    """Evidence and numbers of a model that learnt all texts, and of one that then forgot some by released RMU."""
    root = tmp_path_factory.mktemp("exam")
    given = dict(benchmark=root / "exam.parquet", model=root / "tiny.json")
    assert baldro("benchmark", definition=json.dumps(BENCHMARK), output=given["benchmark"]) == 0
    assert (
        baldro(
            "model", name="tiny", definition=json.dumps(dict(build=SHAPE, prompt="{question}\n")), output=given["model"]
        )
        == 0
    )
    learn = id_of("finetune", "full", epochs=50, **RATE)
    pretrain = id_of("pretrain", "base", epochs=2, **RATE)
    start = root / "base/model"
    assert baldro("train", run=pretrain, output=root / "base", **given) == 0
    assert baldro("train", run=learn, start=start, output=root / "full", **given) == 0
    start = root / "full/model"
    assert baldro("train", run=FORGET, start=start, retain_split="retain75", output=root / "rmu", **given) == 0
    for name, run in {"full": id_of("original"), "rmu": FORGET}.items():
        assert baldro("score", run=run, start=root / name / "model", output=root / f"{name}.parquet", **given) == 0
        assert (
            baldro("metrics", run=run, samples=root / f"{name}.parquet", output=root / f"{name}.json", alone=True) == 0
        )
    return root


def test_evidence_is_the_letters_of_each_question_without_an_end(made):
    samples = pd.read_parquet(made / "full.parquet")
    assert samples.groupby("section").size().to_dict() == {"forget": 12, "retain": 36}
    assert samples["generation"].isna().all() and not samples["end"].any() and samples["tokens"].eq(1).all()
    assert samples.groupby(["section", "index"])["text"].agg("".join).map(sorted).map("".join).eq("ABCD").all()
    assert samples["question"].str.endswith("\nAnswer:").all()


def test_what_was_learnt_is_known_and_what_was_forgotten_is_not(made):
    found = {name: json.loads((made / f"{name}.json").read_text()) for name in ("full", "rmu")}
    for stored in found.values():
        assert set(stored["metrics"]) == {"choice_forget", "choice_retain"} and stored["absent"] == {}
        assert set(stored["intervals"]) == set(stored["metrics"])
    before, after = (found[name]["metrics"] for name in ("full", "rmu"))
    assert before["choice_forget"] > 0.9 and before["choice_retain"] > 0.9
    assert after["choice_forget"] < before["choice_forget"]


def test_steps_take_one_topic_after_the_other(made, capsys):
    """Of the forgotten author two facts, of two rows each, are of life, and one of work."""
    rows = pd.read_parquet(made / "exam.parquet").query("split == 'forget25'").set_index("index")
    assert rows["topic"].value_counts().to_dict() == {"life": 4, "work": 2}
    taken = pd.read_parquet(made / "rmu/dynamics.parquet").assign(topic=lambda frame: frame["index"].map(rows["topic"]))
    assert taken.groupby("step")["topic"].unique().map(list).tolist() == [["life"], ["work"]] * 45
    given = dict(benchmark=made / "few.parquet", model=made / "tiny.json", start=made / "full/model", run=FORGET)
    frame = pd.read_parquet(made / "exam.parquet")
    frame[frame["split"].ne("retain75") | frame["topic"].ne("work")].to_parquet(given["benchmark"])
    assert baldro("train", retain_split="retain75", output=made / "x", **given) == 2
    assert "split retain75 has no row of topic work" in capsys.readouterr().err


def test_released_rmu_trains_the_matrices_that_it_names(made):
    before, after = (load_file(made / f"{name}/model/model.safetensors") for name in ("full", "rmu"))
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved == {f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)}
