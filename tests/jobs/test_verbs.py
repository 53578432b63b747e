"""Every verb as a person runs it, on files so small that a whole experiment takes seconds; and what it says when something is wrong."""

import json
import re
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from baldro import benchmarks as data
from baldro.jobs import inputs
from baldro.records import model
from baldro.runs import Run

from .conftest import BENCHMARK, PRETRAIN, TINY, baldro, id_of

pytestmark = pytest.mark.usefixtures("one_thread")
FINETUNE = id_of("finetune", "full", max_steps=3, batch_size=8, lr=0.01)
RETAINED = id_of("finetune", "retain90", max_steps=3, batch_size=8, lr=0.01)
ROBUST = id_of("npo", variant="baldro-dv", max_steps=3, batch_size=2, lr=0.01, warmup_epochs=0)
ORIGINAL, RETAIN = id_of("original"), id_of("retain")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The whole line from definitions to metrics, each verb once; every exit code must be 0."""
    root = tmp_path_factory.mktemp("results")
    at = SimpleNamespace(root=root, benchmark=root / "data/small.parquet", model=root / "models/tiny.json")
    at.given = dict(benchmark=at.benchmark, model=at.model)
    codes = [
        baldro("benchmark", definition=json.dumps(BENCHMARK), output=at.benchmark),
        baldro("model", name="tiny", definition=json.dumps(TINY), output=at.model),
        baldro("train", run=PRETRAIN, part="build", output=root / "base", **at.given),
        baldro("train", run=FINETUNE, start=root / "base/model", output=root / "target", **at.given),
        baldro("train", run=RETAINED, start=root / "base/model", output=root / "retained", **at.given),
    ]
    target = dict(at.given, start=root / "target/model")
    at.reference, at.unlearned = root / "reference.parquet", root / "unlearned"
    at.unlearn = dict(target, run=ROBUST, retain_split="retain90", reference=at.reference)
    at.score = dict(
        at.given, run=ROBUST, start=at.unlearned / "model", max_new_tokens=4, evaluate_rows=2, holdout="holdout10"
    )
    codes += [
        baldro("reference", run=ORIGINAL, output=at.reference, **target),
        baldro("train", output=at.unlearned, log=root / "logs/unlearn.log", **at.unlearn),
        baldro("score", output=at.unlearned / "samples.parquet", **at.score),
        baldro("score", output=root / "retained/samples.parquet",
               **dict(at.score, run=RETAIN, start=root / "retained/model")),
        baldro("metrics", run=ROBUST, samples=at.unlearned / "samples.parquet",
               retain_samples=root / "retained/samples.parquet", output=at.unlearned / "metrics.json"),
    ]  # fmt: skip
    assert codes == [0] * 10
    return at


def says(capsys, code, pattern, *, lines=1):
    """Exit code 2 and one line on standard error."""
    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert len(error.splitlines()) == lines and re.search(pattern, error), error


def test_a_whole_experiment(made):
    metrics = json.loads((made.unlearned / "metrics.json").read_text())
    assert metrics["run"] == ROBUST and {"forget_quality", "model_utility", "extraction_strength"} <= set(
        metrics["metrics"]
    )
    assert all(isinstance(value, float) for value in metrics["metrics"].values())
    samples = pd.read_parquet(made.unlearned / "samples.parquet")
    assert set(samples["section"]) == {"forget", "retain", "real_authors", "world_facts", "holdout"}
    assert samples["index"].max() == 1


def test_what_a_run_leaves_behind(made):
    run = json.loads((made.unlearned / "run.json").read_text())
    assert run["run"] == ROBUST and run["spec"] == Run.parse(ROBUST).asdict()
    assert run["start"] == str(made.root / "target/model") and run["steps"] == 3 and run["tokens"] > 0
    assert run["seconds"] > 0 and run["peak_memory_bytes"] > 10**6 and run["device"].startswith("cpu")
    assert {"torch", "transformers", "python"} <= set(run["versions"])
    assert len(pd.read_csv(made.unlearned / "train.csv")) == 3
    assert len(pd.read_parquet(made.unlearned / "dynamics.parquet")) == 3 * 2
    left = {path.name for path in made.unlearned.iterdir()}
    assert left == {"run.json", "train.csv", "dynamics.parquet", "model", "samples.parquet", "metrics.json"}
    assert ROBUST in (made.root / "logs/unlearn.log").read_text()


def test_the_chain_of_models_is_a_chain(made):
    """Each stage starts from the stage before it, and moves; NPO's first loss is (2/b) log 2, since the reference is its start."""
    weights = [load_file(made.root / f"{name}/model/model.safetensors") for name in ("base", "target", "unlearned")]
    for before, after in pairwise(weights):
        assert any(not torch.equal(before[k], after[k]) for k in before)
    first = pd.read_parquet(made.unlearned / "dynamics.parquet").query("step == 1")
    assert first["loss"].tolist() == pytest.approx([20 * 0.6931471805599453] * 2, rel=1e-4)


def test_the_same_command_gives_the_same_bits(made, tmp_path):
    assert baldro("train", output=tmp_path, micro_batch=64, **made.unlearn) == 0
    a, b = (load_file(p / "model/model.safetensors") for p in (tmp_path, made.unlearned))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_memory_options_change_nothing_beyond_rounding(made, tmp_path):
    options = dict(micro_batch=1, gradient_checkpointing=True, checkpoint_steps=1, every=0)
    assert baldro("train", output=tmp_path, **options, **made.unlearn) == 0
    a, b = (load_file(p / "model/model.safetensors") for p in (tmp_path, made.unlearned))
    assert all(torch.allclose(a[name], b[name], atol=2e-3) for name in a)
    kept = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert kept == {"finished"}, "until it is scored"


def test_check_lists_the_runs(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(
        "name: x\ngrid: {benchmark: fictional, model: tiny, split: forget10, objective: npo, variant: [base, baldro-dv], dv_beta: [1, 2]}\n"
    )
    assert baldro("check", config=config) == 0
    lines = capsys.readouterr().out.split()
    assert [id for id in lines if "--npo" in id] == [
        "fictional--tiny--forget10--npo",
        "fictional--tiny--forget10--npo--baldro-dv--dv_beta=1",
        "fictional--tiny--forget10--npo--baldro-dv",
    ]
    assert lines[0].split("--")[3] == "pretrain" and all(Run.parse(id).id == id for id in lines)


def rows(name: str, n: int, wrong: int = 0) -> list[dict]:
    """Rows in TOFU's schema."""
    texts = [{"question": f"{name} {i}?", "answer": f"{name} is {i}."} for i in range(n)]
    more = {"perturbed_answer": [f"Not {i}." for i in range(wrong)], "paraphrased_answer": "The same."} if wrong else {}
    return [row | more for row in texts]


def test_check_opens_the_rows_of_benchmarks_that_are_here(tmp_path, capsys):
    """Each mistake is a line with its file and row; what is on the hub is said to be unopened."""
    splits = dict(keep=rows("kept", 6), gone=rows("gone", 4), full=rows("kept", 6) + rows("gone", 4))
    splits |= dict(gone_perturbed=rows("gone", 4, 5), retain_perturbed=rows("kept", 6, 5))
    splits |= dict(real_authors_perturbed=rows("author", 2, 3), world_facts_perturbed=rows("fact", 2, 3))
    for folder in ("whole", "lacking", "odd"):
        (tmp_path / folder).mkdir()
        for name, own in splits.items():
            (tmp_path / folder / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in own))
    (tmp_path / "lacking" / "world_facts_perturbed.json").unlink()
    odd = tmp_path / "odd" / "keep.json"
    odd.write_text(odd.read_text().replace('"kept is 2."', "2"))
    far = f"hub:lab/rows@{40 * 'a'}"
    places = {
        "whole": str(tmp_path / "whole"),
        "far": far,
        "odd": str(odd.parent),
        "lacking": str(tmp_path / "lacking"),
    }
    tofu = {name: dict(kind="tofu", source=[place], forget={"gone": "keep"}) for name, place in places.items()}
    grid = dict(model="tiny", split="gone", objective="simnpo", variant="base")

    def checked(*names: str) -> int:
        text = dict(name="x", benchmarks=tofu, grid=[grid | {"benchmark": name} for name in names])
        (tmp_path / "c.yaml").write_text(json.dumps(text))
        return baldro("check", config=tmp_path / "c.yaml")

    assert checked("whole", "far") == 0
    out, err = capsys.readouterr()
    assert "benchmark whole: rows: full 10, " in err and "world_facts_perturbed 2" in err and len(err.splitlines()) == 2
    assert f"benchmark far: not opened, for {far} is on the hub" in err
    assert "whole--tiny--gone--simnpo" in out
    assert checked("odd", "lacking", "whole") == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 3
    assert f"baldro check: benchmark odd: {odd}:3: field answer is a number (2)" in err
    assert f"baldro check: benchmark lacking: {tmp_path / 'lacking' / 'world_facts_perturbed.json'} is not there" in err


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.float32), ("bf16-only", torch.bfloat16)]
)
def test_a_built_model_has_the_weights_of_its_precision(made, precision, dtype):
    run = Run.parse(id_of("pretrain", "base", precision=precision))
    given = inputs.RunInputs(run, model.read(made.model), data.read(made.benchmark), "build")
    assert {p.dtype for p in inputs.open_to_train(given)[0].parameters()} == {dtype}


# What goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("run", "fact"), [("nonsense", "'nonsense'"), ("small--tiny--forget05--npo", "mean forget")])
def test_ids_that_are_no_runs(made, tmp_path, capsys, run, fact):
    says(capsys, baldro("train", output=tmp_path / "out", **{**made.unlearn, "run": run}), fact)
    assert not (tmp_path / "out/model").exists()


def without(options, *names):
    return {name: value for name, value in options.items() if name not in names}


def test_options_that_a_run_needs(made, tmp_path, capsys):
    code = baldro("train", output=tmp_path, **{**made.unlearn, "retain_split": "retain9"})
    says(capsys, code, r"mean retain90\?")
    code = baldro("train", output=tmp_path, **without(made.unlearn, "start"), part="target")
    says(capsys, code, "'target'.*tiny.*build")


def test_a_reference_of_other_rows(made, tmp_path, capsys):
    other = tmp_path / "other.parquet"
    given = dict(made.given, start=made.root / "target/model")
    assert baldro("reference", run=id_of("original", "forget20"), output=other, **given) == 0
    code = baldro("train", output=tmp_path / "out", **{**made.unlearn, "reference": other})
    says(capsys, code, r"other\.parquet .*forget10")
    assert not (tmp_path / "out/model").exists()


def test_a_failed_run_says_why_and_leaves_no_model(made, tmp_path, capsys):
    broken = tmp_path / "broken.parquet"
    frame = pd.read_parquet(made.reference)
    frame.assign(token_logp=frame["token_logp"] * float("nan")).to_parquet(broken)
    code = baldro("train", output=tmp_path / "out", **{**made.unlearn, "reference": broken})
    says(capsys, code, r"^baldro train: forget loss is NaN at step 1$")
    failed = json.loads((tmp_path / "out/failed.json").read_text())
    assert failed == {"run": ROBUST, "stage": "train", "reason": "forget loss is NaN at step 1"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"failed.json"}
    assert baldro("train", output=tmp_path / "out", **made.unlearn) == 0  # put right: the mark of failure goes
    assert not (tmp_path / "out/failed.json").exists() and (tmp_path / "out/run.json").exists()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ('{"name": "tiny",', r"tiny.json:1: not JSON .* is the file cut short\?"),
        ("{}", r"tiny.json"),
        ("[1]", r"tiny.json"),
    ],
)
def test_model_files_that_are_none(made, tmp_path, capsys, text, pattern):
    (tmp_path / "tiny.json").write_text(text)
    code = baldro("train", output=tmp_path, **{**made.unlearn, "model": tmp_path / "tiny.json"})
    says(capsys, code, pattern)


FILES = dict(
    benchmark="train", model="train", reference="train", start="train", samples="metrics", retain_samples="metrics"
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, b"PAR1 cut"])
def test_files_that_are_missing_or_cut(made, tmp_path, capsys, name, content):
    path = tmp_path / "wrong"
    if content:
        path.write_bytes(content)
    metrics = dict(
        run=ROBUST, samples=made.unlearned / "samples.parquet", retain_samples=made.root / "retained/samples.parquet"
    )
    options = {"train": made.unlearn, "metrics": metrics}[FILES[name]]
    says(
        capsys,
        baldro(FILES[name], output=tmp_path / "out", **{**options, name: path}),
        rf"^baldro {FILES[name]}: .*{path}",
    )


@pytest.mark.parametrize(
    ("verb", "definition", "pattern"),
    [
        ("model", json.dumps({**TINY, "prompt": "Q\n"}), r"model tiny: .*'Q\\n'.*\{question\}"),
        ("model", json.dumps({"source": ["nowhere/at/all"]}), r"model tiny \(base\) .*nowhere/at/all"),
        ("model", "{build: 3", "--definition"),
        ("benchmark", json.dumps({**BENCHMARK, "kind": "tofuu"}), r"'tofuu'.*mean tofu\?"),
        ("benchmark", json.dumps({**BENCHMARK, "authors": 0}), "authors.* 0.* 2"),
        ("benchmark", "{'kind'}", "--definition"),
        ("benchmark", "{}", "kind"),
    ],
)
def test_definitions_that_are_wrong(tmp_path, capsys, verb, definition, pattern):
    named = dict(name="tiny") if verb == "model" else {}
    says(capsys, baldro(verb, definition=definition, output=tmp_path / "out.json", **named), pattern)
    assert not (tmp_path / "out.json").exists()


def test_an_error_stands_in_the_log_too(made, tmp_path, capsys):
    log = tmp_path / "logs/train.log"
    says(capsys, baldro("train", log=log, output=tmp_path, **{**made.unlearn, "run": "nonsense"}), "'nonsense'")
    assert log.read_text().startswith("baldro train: 'nonsense'")


def test_outputs_may_be_in_a_new_folder(made, tmp_path):
    assert (
        baldro(
            "reference",
            run=ORIGINAL,
            output=tmp_path / "new/reference.parquet",
            **made.given,
            start=made.root / "target/model",
        )
        == 0
    )
    assert baldro("score", output=tmp_path / "new2/samples.parquet", **{**made.score, "evaluate_rows": 1}) == 0


def test_fluency_is_judged_by_a_classifier_that_is_there(made, tmp_path, capsys, save_classifier):
    save_classifier(tmp_path / "judge")
    samples = tmp_path / "samples.parquet"
    assert baldro("score", output=samples, fluency=tmp_path / "judge", **made.score) == 0
    frame = pd.read_parquet(samples)
    judged = frame["clean"].notna()
    assert judged.equals(frame["section"].eq("forget") & frame["generation"].notna()) and judged.any()
    retain, output = made.root / "retained/samples.parquet", tmp_path / "m.json"
    assert baldro("metrics", run=ROBUST, samples=samples, retain_samples=retain, output=output) == 0
    assert json.loads(output.read_text())["metrics"]["fluency"] == pytest.approx(frame["clean"].mean())
    absent = json.loads((made.unlearned / "metrics.json").read_text())["absent"]
    assert "classifier" in absent["fluency"], "said, not replaced"
    capsys.readouterr()
    says(
        capsys,
        baldro("score", output=tmp_path / "no.parquet", fluency=tmp_path / "none", **made.score),
        "none.*allowed",
    )


def test_a_changed_prompt_does_not_continue_a_checkpoint(made, tmp_path, capsys, monkeypatch):
    from baldro.durable.progress import Progress

    def kill(self, **_):
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "advance", kill)
        assert (
            baldro("train", output=tmp_path / "out", checkpoint_steps=1, **made.unlearn) == 1
        )  # a defect, not a mistake
    assert "RuntimeError: killed" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**json.loads(made.model.read_text()), "prompt": "Q: {question}\n"}))
    options = {**made.unlearn, "model": other}
    code = baldro("train", output=tmp_path / "out", **options)
    says(capsys, code, r"reference\.parquet .*forget10")
    options["reference"] = tmp_path / "reference.parquet"
    given = dict(made.given, model=other, start=made.root / "target/model")
    assert baldro("reference", run=ORIGINAL, output=options["reference"], **given) == 0
    assert baldro("train", output=tmp_path / "out", **options) == 0
    assert "begins anew" in capsys.readouterr().out


def test_a_defect_is_told_with_its_trace(made, tmp_path, capsys, monkeypatch):
    from baldro.jobs import metrics as evaluation

    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: 1 / 0)
    samples = made.unlearned / "samples.parquet"
    assert baldro("metrics", run=ROBUST, samples=samples, retain_samples=samples, output=tmp_path / "m.json") == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and error.rstrip().endswith("ZeroDivisionError: division by zero")
