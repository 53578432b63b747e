"""What does not go together, or asks for what is not there, is refused before anything trains: one line, with its place in the config."""

import json
import re

import pytest
import yaml

from baldro.cli import main
from baldro.config import load
from baldro.errors import BaldroError
from baldro.runs import Experiment, Run
from baldro.runs.agreement import LONGEST, layers

NANO = {"build": dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)}
RATIO = {"forget10": "retain90"}
GRID = dict(benchmark="fictional", model="nano", split="forget10", objective="npo")


@pytest.fixture
def config(tmp_path):
    """A config file: the grid with other axes, the model nano, and a TOFU and a MUSE folder that are there."""
    for name in ("tofu", "muse", "weights"):
        (tmp_path / name).mkdir()
    (tmp_path / "others.jsonl").write_text("{}\n")

    def write(models: dict | None = None, **axes: object):
        tofu = dict(kind="tofu", source=[str(tmp_path / "tofu")], forget=RATIO)
        benchmarks = {
            "rows": tofu,
            "answered": {**tofu, "alternates": [str(tmp_path / "others.jsonl")]},
            "running": dict(kind="muse", source=[str(tmp_path / "muse")], forget={"forget": "retain"}),
        }
        path = tmp_path / "refused.yaml"
        text = dict(name="t", benchmarks=benchmarks, models={"nano": NANO, **(models or {})}, grid=GRID | axes)
        path.write_text(yaml.safe_dump(text, sort_keys=False))
        return path

    return write


def loaded(path) -> Experiment:
    experiment = load(path)
    assert experiment.lineage()
    return experiment


def says(path, capsys, message: str, line_of: str) -> None:
    """What `load` raises and `baldro check` prints: one line, with the file's line that the mistake is in."""
    with pytest.raises(BaldroError, match=message) as caught:
        load(path)
    text = str(caught.value)
    number = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if line_of in line)
    assert "\n" not in text and text.startswith(f"{path}:{number}: "), text
    assert any(word in text for word in ("allowed: ", "write ")), text
    assert main(["check", "--config", str(path)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"baldro check: {text}\n")


WRONG = {
    "altpo without other answers": (
        dict(benchmark="rows", objective=["npo", "altpo"]), "'altpo'.*'rows' has no other answers.*alternates: in benchmarks", "- altpo"),
    "altpo on running text": (
        dict(benchmark="running", split="forget", objective="altpo"), "'altpo'.*'running' has no other answers", "objective: altpo"),
    "idkdpo on running text": (
        dict(benchmark="running", split="forget", objective="idkdpo"),
        "'idkdpo'.*'running' has no questions that 'I do not know' answers; allowed: a benchmark of questions", "objective: idkdpo"),
    "a layer beyond the model": (
        dict(objective="rmu", rmu_layer=2), "'rmu_layer' is 2, and model 'nano' has 2 layers; allowed: 0 to 1", "rmu_layer: 2"),
    "one of several layers": (dict(objective="rmu", rmu_layer=[0, 5]), "'rmu_layer' is 5", "rmu_layer:"),
    "the usual layer": (dict(objective="rmu"), "'rmu_layer' is 7, and model 'nano' has 2 layers; allowed: 0 to 1", "nano:"),
    "dpo": (dict(objective="dpo"), "objective 'dpo': write idkdpo .*or altpo", "objective: dpo"),
    "loku": (dict(objective=["npo", "loku"]), "objective 'loku': write ihl with lora_start: fila", "- loku"),
    "activations without a layer": (
        dict(retain_loss="activations"), "retain_loss activations: npo names no layer; allowed: objective rmu", "retain_loss:"),
    "weights of samples that have no loss": (
        dict(retain_variant="cvar"), "retain_variant cvar: with retain_normalisation token-mean .*allowed: sample-mean", "retain_variant:"),
    "the same, written out": (
        dict(retain_variant=["base", "chi2"], retain_normalisation="token-mean"), "retain_variant chi2: ", "retain_variant:"),
    "fila without retain samples": (
        dict(objective="gradascent", lora_rank=4, lora_start="fila"), "lora_start fila: gradascent has no .*allowed: ", "lora_start:"),
    "weights of tokens, angle of gradients": (
        dict(objective="wga", variant="baldro-dv", dv_level="token", combiner="uno"),
        "combiner uno: with dv_level token, weights of tokens are not samples'; allowed: dv_level sample, or .*blur.*sum", "combiner:"),
    "weights of tokens of a sum": (
        dict(variant="baldro-dv", dv_level="token"), "dv_level token: the loss of npo is not a mean over tokens; allowed: .*wga", "dv_l"),
    "a retain weight that never moves": (
        dict(combiner="dual", dual_warmup_epochs=5), "dual_warmup_epochs 5: in 5 epochs .*: below epochs, or", "dual_w"),
    "a rank that is no number": (dict(lora_rank="r8"), "lora_rank is 'r8'; allowed: a whole number of at least 1", "lora_rank"),
    "a name that is too long": (
        dict(variant="baldro-dv", lr=0.1234567890123, weight_decay=0.1234567890123, warmup_epochs=0.1234567890123, epochs=1.23456789012,
             npo_beta=0.1234567890123, dv_beta=0.1234567890123, forget_weight=0.1234567890123, retain_weight=0.1234567890123),
        rf"has a name of \d+ characters; allowed: {LONGEST}", None),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line_with_its_place(config, capsys, case):
    axes, message, line_of = WRONG[case]
    path = config(**axes)
    if line_of:
        return says(path, capsys, message, line_of)
    with pytest.raises(BaldroError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("axes", "there"),
    [
        (dict(benchmark="answered", objective="altpo"), "altpo"),
        (dict(benchmark="rows", objective="idkdpo"), "idkdpo"),
        (dict(objective=["altpo", "idkdpo"]), "altpo"),
        (dict(objective="rmu", rmu_layer=[0, 1]), "rmu_layer=1"),
        (dict(objective="rmu", rmu_layer=1, retain_loss="activations"), "rmu_layer=1"),
        (dict(retain_variant="cvar", retain_normalisation="token-sum"), "retain_variant=cvar"),
        (dict(objective="ihl", lora_rank=4, lora_start="fila"), "lora_start=fila"),
        (dict(objective="wga", variant="baldro-dv", dv_level="token", combiner="blur"), "combiner=blur"),
        (dict(objective="wga", variant="baldro-dv", dv_level="sample", combiner="uno"), "combiner=uno"),
        (dict(objective="npo", rmu_layer=99), "npo"),
        (dict(combiner="dual", dual_warmup_epochs=4), "dual_warmup_epochs=4"),
        (dict(combiner="sum", dual_warmup_epochs=9), "npo"),
        (dict(objective="gradascent", combiner="uno", variant="baldro-dv", dv_level="token"), "dv_level=token"),
        (dict(objective="gradascent", retain_loss="activations", retain_variant="cvar"), "gradascent"),
        (dict(lora_start="fila", lora_alpha=3, objective="gradascent"), "gradascent"),
    ],
)
def test_the_same_without_the_fault_is_a_run(config, axes, there):
    assert any(there in run.id for run in loaded(config(**axes)).runs)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        (dict(lora_alpha=64, lora_dropout=0.1, lora_start="fila"), ()),
        (dict(objective="gradascent", combiner="uno", dual_step=3), ()),
        (dict(objective="gradascent", retain_loss="activations", retain_variant="cvar", retain_cvar_alpha=0.1), ()),
        (dict(rmu_layer=99), ()),
    ],
)
def test_what_has_no_effect_is_no_part_of_a_run(values, left):
    run = Run.of(**{**GRID, **values})
    assert run == Run.of(**{**GRID, "objective": values.get("objective", "npo")})
    assert run.id == f"fictional--nano--forget10--{run.objective}"


# Depth


def source(tmp_path, text: str | None) -> dict:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    return {"source": ["$BALDRO_NO_SUCH", str(tmp_path)]}


def test_the_depth_of_a_model(tmp_path, monkeypatch):
    monkeypatch.delenv("BALDRO_NO_SUCH", raising=False)
    monkeypatch.setenv("BALDRO_NOWHERE", str(tmp_path / "none"))
    assert layers(NANO, what="m") == 2
    assert layers({"source": ["hub:a/b@c"], "layers": 30}, what="m") == 30
    assert layers({"source": ["hub:a/b@c"]}, what="m") is None
    assert layers({"target": ["hub:a/b@c"], "retain": {}}, what="m") is None
    assert layers(source(tmp_path, None), what="m") is None
    (tmp_path / "w.gguf").write_text("")
    assert layers({"source": [str(tmp_path / "w.gguf")]}, what="m") is None
    for text, depth in (('{"num_hidden_layers": 5}', 5), ("{}", None), ("[]", None)):
        assert layers(source(tmp_path, text), what="m") == depth
    assert layers({"target": source(tmp_path, '{"num_hidden_layers": 6}')["source"]}, what="m") == 6
    with pytest.raises(BaldroError, match=r"config\.json:1: not JSON"):
        layers(source(tmp_path, "{"), what="m")
    with pytest.raises(BaldroError, match=r"model m: \$BALDRO_NOWHERE is .*not there"):
        layers({"source": ["$BALDRO_NOWHERE"]}, what="model m")


@pytest.mark.parametrize(("layer", "allowed"), [(2, True), (3, False), (7, False)])
def test_a_layer_is_held_against_a_folders_own_depth_and_against_what_models_yaml_says(
    config, tmp_path, capsys, layer, allowed
):
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"num_hidden_layers": 3}))
    models = {"local": {"source": [str(tmp_path / "weights")]}, "far": {"source": ["hub:a/b@c"], "layers": 3}}
    for name in models:
        path = config(models, model=name, objective="rmu", rmu_layer=layer)
        if allowed:
            loaded(path)
        else:
            message = rf"'rmu_layer' is {layer}, and model '{name}' has 3 layers; allowed: 0 to 2"
            says(path, capsys, message, f"rmu_layer: {layer}")


def test_a_depth_that_nobody_says_is_left_to_the_first_job_that_knows_it(config):
    loaded(config({"far": {"source": ["hub:a/b@c"]}}, model="far", objective="rmu", rmu_layer=99))


def test_only_what_asks_for_a_layer_reads_a_models_files(config, tmp_path):
    (tmp_path / "weights" / "config.json").write_text("{")
    models = {"local": {"source": [str(tmp_path / "weights")]}}
    loaded(config(models, model="local"))
    with pytest.raises(BaldroError, match="not JSON"):
        load(config(models, model="local", objective="rmu"))


# The verb, called by hand


@pytest.mark.parametrize(
    ("objective", "missing", "said"),
    [
        ("npo", "reference", "npo needs --reference; allowed: a file that `baldro reference` wrote"),
        ("tnpo", "reference", "tnpo needs --reference; allowed: a file that `baldro reference` wrote"),
        ("idkdpo", "reference", "idkdpo needs --reference; allowed: "),
        ("idkdpo", "alternate-reference", "idkdpo needs --alternate-reference; allowed: .* with --answers idk"),
        ("altpo", "alternate-reference", "altpo needs --alternate-reference; allowed: .* with --answers alternates"),
        ("wga", "retain-split", "wga needs --retain-split; allowed: a split of the benchmark"),
    ],
)
def test_training_without_what_a_loss_compares_with_ends_before_a_model_is_loaded(
    tmp_path, capsys, monkeypatch, objective, missing, said
):
    """There is no model to load: its place is empty."""
    from baldro import benchmarks as data

    data.write(tmp_path / "data.parquet", data.build(dict(kind="fictional", authors=10, questions=1, forget=RATIO)))
    (tmp_path / "model.json").write_text(json.dumps(dict(name="nano", prompt="{question}", build=None, starts={})))
    monkeypatch.setattr("baldro.jobs.training._fit", lambda *a, **k: pytest.fail("it went on"))
    options = {"reference": "r.parquet", "alternate-reference": "a.parquet", "retain-split": "retain90"}
    del options[missing]
    words = ["--run", f"small--nano--forget10--{objective}", "--benchmark", str(tmp_path / "data.parquet")]
    words += [
        "--model",
        str(tmp_path / "model.json"),
        "--start",
        str(tmp_path / "none"),
        "--output",
        str(tmp_path / "o"),
    ]
    words += [word for name, value in options.items() for word in (f"--{name}", value)]
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.match(f"baldro train: {said}", error), error
    assert not (tmp_path / "o").exists()
