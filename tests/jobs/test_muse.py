"""MUSE from a folder to its numbers, each verb once: running text is learnt without questions, and asked for in MUSE's own prompts."""

import json
import random

import pandas as pd
import pytest
import torch

from baldro.cli import main
from baldro.runs import Run

SAYING = "the a council said river flood bridge school train storm vote north south city people morning after before"
WORDS = SAYING.split()
SHAPE = dict(vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
RATE = dict(batch_size=2, lr=0.01, warmup_epochs=0)


def id_of(objective, split="forget", **values):
    return Run.of(benchmark="news", model="tiny", split=split, objective=objective, **values).id


def baldro(verb, **options):
    words = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert main([verb, *words]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("muse")
    draw = random.Random(0)
    texts = {part: [" ".join(draw.choices(WORDS, k=60)) for _ in range(6)] for part in ("forget", "holdout", "retain")}
    files = {f"privleak/{part}": [{"text": text} for text in own] for part, own in texts.items()}
    files["verbmem/forget"] = [
        {"prompt": " ".join(t.split()[:40]), "gt": " ".join(t.split()[40:55])} for t in texts["forget"]
    ]
    for part in ("forget", "retain"):
        for name in (f"{part}_qa", f"{part}_qa_icl"):
            files[f"knowmem/{name}"] = [
                {"question": f"Which {name} {i}?", "answer": draw.choice(WORDS)} for i in range(3)
            ]
    for place, rows in files.items():
        path = root / "data" / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    threads = torch.get_num_threads()
    benchmark, model = root / "news.parquet", root / "tiny.json"
    definition = dict(
        kind="muse", source=[str(root / "data")], forget={"forget": "retain"}, train_on="excerpts", texts=4
    )
    baldro("benchmark", definition=json.dumps(definition), output=benchmark)
    build = dict(build={**SHAPE, "max_position_embeddings": 512}, prompt="{question}\n")
    baldro("model", name="tiny", definition=json.dumps(build), output=model)
    given = dict(benchmark=benchmark, model=model)
    baldro("train", run=id_of("pretrain", "base", epochs=1, **RATE), part="build", output=root / "base", **given)
    for split in ("full", "retain"):
        run = id_of("finetune", split, epochs=20, **RATE)
        baldro("train", run=run, start=root / "base/model", output=root / split, **given)
    for name, split in (("original", "full"), ("retain", "retain")):
        start, output = root / split / "model", root / f"{name}.parquet"
        options = [
            "--run",
            id_of(name),
            "--start",
            start,
            "--output",
            output,
            "--benchmark",
            benchmark,
            "--model",
            model,
        ]
        assert main(["score", "--gradient-norms", *map(str, options)]) == 0
    torch.set_num_threads(threads)
    return root


def test_sections_and_prompts(made):
    samples = pd.read_parquet(made / "original.parquet")
    assert set(samples["section"]) == {"forget_knowmem", "retain_knowmem", "verbmem", "forget", "holdout"}
    for section, rows in samples.groupby("section"):
        assert rows["candidate"].eq("answer").all() and not rows["end"].any()
        assert rows["generation"].notna().all() == (section not in ("forget", "holdout"))
        assert rows["avg_loss"].isna().all() == section.endswith("_knowmem")
        assert rows["gradient_norm"].notna().all() == (section in ("forget", "holdout"))


def test_fluency_has_nothing_to_judge(made, tmp_path, capsys):
    options = [
        "--run",
        id_of("original"),
        "--start",
        made / "full/model",
        "--fluency",
        "x",
        "--output",
        tmp_path / "s.parquet",
    ]
    options += ["--benchmark", made / "news.parquet", "--model", made / "tiny.json"]
    assert main(["score", *map(str, options)]) == 2
    assert "news" in capsys.readouterr().err


def test_numbers_and_the_log_that_says_them(made):
    output, export = made / "metrics.json", made / "MUSE_EVAL.json"
    options = dict(samples=made / "original.parquet", retain_samples=made / "retain.parquet")
    baldro("metrics", run=id_of("original"), output=output, export=export, **options)
    stored = json.loads(output.read_text())
    assert stored["absent"] == {}
    values = stored["metrics"]
    assert values["mia_loss"] > 0.9 and values["privleak"] < -50, "the target knows what it was trained on"
    again = made / "again.json"
    baldro("metrics", samples=export, retain_samples=made / "retain.parquet", output=again)
    told = json.loads(again.read_text())["metrics"]
    assert told == {name: values[name] for name in told} and len(told) >= len(values) - 1
    assert {"forget_verbmem_ROUGE", "forget_knowmem_ROUGE", "privleak", "mia_min_k"} <= set(
        json.loads(export.read_text())
    )
