"""What does not go together, or asks for what is not there, is refused before anything trains: one line, with its place in the config."""

import json

import pytest
import yaml
from refusals import refused

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
            "asked": {**tofu, "lm_eval": {"tasks": ["gsm8k"]}},
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


def says(path, capsys, code: str, *facts: object, line_of: str) -> None:
    """What `load` raises and `baldro check` prints: one line, with the file's line that the mistake is in."""
    number = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if line_of in line)
    with refused(code, f"{path}:{number}: ", *facts) as caught:
        load(path)
    text = str(caught.value)
    assert main(["check", "--config", str(path)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"baldro check: {text}\n")


@pytest.mark.parametrize(
    ("needs", "axes", "code", "facts"),
    [
        (dict(gpu=1, shard=True), {}, "nothing-to-shard", ["nano", "gpu: 2"]),
        (dict(gpu=2, shard=True), dict(combiner="uno"), "cannot-be-sharded", ["uno", "nano"]),
        (dict(gpu=2, shard=True), dict(lora_rank=4, lora_start="fila"), "cannot-be-sharded", ["fila", "nano"]),
        (dict(gpu=2, shard=True), dict(lora_rank=4, lora_base="nf4"), "cannot-be-sharded", ["nf4", "nano"]),
        (dict(gpu=2, shard=True), dict(optimiser="adamw-8bit"), "cannot-be-sharded", ["adamw-8bit", "nano"]),
        (dict(gpu=2, shard=True), dict(benchmark="asked"), "cannot-be-sharded", ["lm_eval", "nano"]),
    ],
)
def test_what_cannot_be_split_over_devices_is_said_first(config, needs, axes, code, facts):
    with refused(code, *facts):
        load(config(models={"nano": NANO | {"needs": needs}}, **axes))


WRONG = {
    "altpo without other answers": (
        dict(benchmark="rows", objective=["npo", "altpo"]), "no-other-answers", "'altpo'", "'rows'", "- altpo"),
    "altpo on running text": (
        dict(benchmark="running", split="forget", objective="altpo"), "no-other-answers", "'running'", "objective: altpo"),
    "idkdpo on running text": (
        dict(benchmark="running", split="forget", objective="idkdpo"), "no-other-answers", "'running'", "objective: idkdpo"),
    "a layer beyond the model": (dict(objective="rmu", rmu_layer=2), "no-such-layer", "'nano'", "0 to 1", "rmu_layer: 2"),
    "one of several layers": (dict(objective="rmu", rmu_layer=[0, 5]), "no-such-layer", "is 5", "rmu_layer:"),
    "the usual layer": (dict(objective="rmu"), "no-such-layer", "is 7", "'nano'", "nano:"),
    "dpo": (dict(objective="dpo"), "ambiguous-name", "idkdpo", "altpo", "objective: dpo"),
    "loku": (dict(objective=["npo", "loku"]), "ambiguous-name", "ihl with lora_start: fila", "- loku"),
    "activations without a layer": (dict(retain_loss="activations"), "no-activations", "npo", "rmu", "retain_loss:"),
    "weights of samples that have no loss": (dict(retain_variant="cvar"), "no-loss-per-sample", "sample-mean", "retain_variant:"),
    "the same, written out": (
        dict(retain_variant=["base", "chi2"], retain_normalisation="token-mean"), "no-loss-per-sample", "chi2", "retain_variant:"),
    "fila without retain samples": (
        dict(objective="gradascent", lora_rank=4, lora_start="fila"), "nothing-retained", "gradascent", "lora_start:"),
    "fila of 4-bit weights": (
        dict(lora_rank=4, lora_start="fila", lora_base="nf4"), "fila-of-quantised", "lora_base", "lora_start:"),
    "weights of tokens, angle of gradients": (
        dict(objective="wga", variant="baldro-dv", dv_level="token", combiner="uno"), "weights-of-tokens", "uno", "blur", "combiner:"),
    "weights of tokens of a sum": (dict(variant="baldro-dv", dv_level="token"), "no-loss-per-token", "npo", "wga", "dv_l"),
    "a retain weight that never moves": (dict(combiner="dual", dual_warmup_epochs=5), "warmup-too-long", "(5)", "dual_w"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line_with_its_place(config, capsys, case):
    axes, code, *facts, line_of = WRONG[case]
    says(config(**axes), capsys, code, *facts, line_of=line_of)


def test_a_name_that_is_too_long(config):
    number = 0.1234567890123
    fields = ("lr", "weight_decay", "warmup_epochs", "epochs", "npo_beta", "dv_beta", "forget_weight", "retain_weight")
    with refused("id-too-long", LONGEST):
        load(config(variant="baldro-dv", **dict.fromkeys(fields, number)))


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
    with pytest.raises(BaldroError, match=r"config\.json:1"):
        layers(source(tmp_path, "{"), what="m")
    with refused("place-not-found", "model m", "$BALDRO_NOWHERE"):
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
            says(path, capsys, "no-such-layer", f"'{name}'", "0 to 2", line_of=f"rmu_layer: {layer}")


def test_a_depth_that_nobody_says_is_left_to_the_first_job_that_knows_it(config):
    loaded(config({"far": {"source": ["hub:a/b@c"]}}, model="far", objective="rmu", rmu_layer=99))


def test_only_what_asks_for_a_layer_reads_a_models_files(config, tmp_path):
    (tmp_path / "weights" / "config.json").write_text("{")
    models = {"local": {"source": [str(tmp_path / "weights")]}}
    loaded(config(models, model="local"))
    with pytest.raises(BaldroError, match=r"config\.json:1"):
        load(config(models, model="local", objective="rmu"))


# The verb, called by hand


@pytest.mark.parametrize(
    ("objective", "missing", "said"),
    [
        ("npo", "reference", "`baldro reference`"),
        ("idkdpo", "alternate-reference", "--answers idk"),
        ("altpo", "alternate-reference", "--answers alternates"),
        ("wga", "retain-split", "a split"),
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
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"baldro train: {objective} ") and f"--{missing};" in error and said in error, error
    assert not (tmp_path / "o").exists()
