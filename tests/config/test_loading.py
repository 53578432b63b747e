"""A mistake in a config is one line: file, line, what, what is allowed."""

from pathlib import Path

import pytest
import yaml
from refusals import refused

from baldro.benchmarks import define
from baldro.config import load
from baldro.config.loading import ROOT
from baldro.config.yamlfile import read
from baldro.errors import BaldroError
from baldro.places import resolve
from baldro.runs import COMBINERS, OBJECTIVES, VARIANTS
from baldro.runs.agreement import LONGEST
from baldro.runs.run import Run

GOOD = {
    "benchmark": "benchmark: fictional",
    "model": "model: tiny",
    "split": "split: [forget05, forget10]",
    "objective": "objective: [npo, simnpo]",
    "variant": "variant: [base, baldro-dv]",
}


def text(grid: str = "", after: str = "", before: str = "", **lines: str) -> str:
    """A config with some lines of its grid replaced, lines added to the grid, and lines before and after it."""
    axes = [*(GOOD | lines).values(), *([grid] if grid else [])]
    return "\n".join(["name: t", *([before] if before else []), "grid:", *(f"  {axis}" for axis in axes), after, ""])


TOKENS = ["ceu", "gradascent", "graddiff", "ihl", "pdu", "rmu", "satimp", "tnpo", "undial", "wga"]
"""Objectives whose loss is a mean over tokens."""
NANO = "models:\n  nano:\n    build: {hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}\n"
RATIOS = "    forget: {forget05: retain95, forget10: retain90}\n"
TINY = NANO.replace("nano:", "tiny: # here")
BAD = {
    "unknown key": (text(after="grids: 3 # here"), "unknown-key", "'grids'", "mean grid?"),
    "unknown axis": (text("dvbeta: 3 # here"), "unknown-key", "'dvbeta'", "mean dv_beta?"),
    "unknown key of a model": (text(after=NANO + "    finetun: {lr: 1} # here"), "unknown-key", "models.nano", "mean finetune?"),
    "method's setting": (text(after=NANO + "    finetune:\n      npo_beta: 3 # here"), "unknown-key", "'npo_beta'", "models.nano.finetune"),
    "setting by another name": (
        text(after=NANO + "    finetune:\n      learning_rate: 3 # here"),
        "ambiguous-name", "'learning_rate'", "write lr"),
    "ambiguous beta": (text("beta: 5 # here"), "ambiguous-name", "'beta'", "write dv_beta"),
    "objective": (text(objective="objective: [npo, npoo] # here"), "unknown-objective", "'npoo'", "mean npo?"),
    "objective of a model": (
        text(objective="objective: finetune # here"), "unknown-objective", "'finetune'", ", ".join(sorted(OBJECTIVES))),
    "variant": (
        text(variant="variant: [base, baldro-d] # here"),
        "unknown-variant", "'baldro-d'", "mean baldro-dv?", ", ".join(sorted(VARIANTS))),
    "retain variant": (text("retain_variant: cvr # here"), "unknown-retain-variant", "'cvr'", "mean cvar?"),
    "combiner": (text("combiner: [sum, blurr] # here"), "unknown-combiner", "'blurr'", "mean blur?", ", ".join(sorted(COMBINERS))),
    "a combiner's field": (text("dual_step: 0 # here", variant="combiner: dual"), "value-not-allowed", "dual_step is 0"),
    "a bound that is open": (text("topk_fraction: 1 # here", variant="variant: topk"), "value-not-allowed", "topk_fraction is 1"),
    "the same as text": (text('topk_fraction: "1" # here', variant="variant: topk"), "value-not-allowed", "is '1'", "above 0", "below 1"),
    "layer": (text("rmu_layer: 1.5 # here", objective="objective: rmu"), "value-not-allowed", "rmu_layer is 1.5", "at least 0"),
    "split": (text(split="split: [forget05, forget01] # here"), "unknown-split", "'forget01'", "fictional", "forget05, forget10"),
    "model": (text(model="model: tinny # here"), "unknown-model", "'tinny'", "mean tiny?"),
    "benchmark": (text(benchmark="benchmark: fictionel # here"), "unknown-benchmark", "mean fictional?"),
    "empty axis": (text("lr: [] # here"), "empty-list", "grid.lr"),
    "dv_beta 0": (text("dv_beta: 0 # here"), "value-not-allowed", "dv_beta is 0", "above 0"),
    "dv_beta 0 in a list": (text("dv_beta: [1, 0] # here"), "value-not-allowed", "is 0"),
    "dv_beta below 0 as text": (text("dv_beta: [2, -1e-3] # here"), "value-not-allowed", "'-1e-3'"),
    "lr as a word": (text("lr: abc # here"), "value-not-allowed", "'abc'"),
    "lr true": (text("lr: true # here"), "value-not-allowed", "True"),
    "batch size": (text("batch_size: 2.5 # here"), "value-not-allowed", "2.5", "at least 1"),
    "fraction": (text("g_fraction: 1.5 # here", variant="variant: baldro-g"), "value-not-allowed", "1.5", "at most 1"),
    "scope": (text("robust_scope: bach # here"), "unknown-robust-scope", "'bach'", "mean batch?", "batch, micro-batch"),
    "dv_level": (text("dv_level: token # here"), "no-loss-per-token", "npo", ", ".join(TOKENS)),
    "no name": (text().replace("name: t", "description: t # here"), "missing-key", "lacks name"),
    "no split": (text().replace("grid:", "grid: # here").replace("split:", "seed: 1 #"), "not-one-of", "exactly one of split, requests"),
    "name with a slash": (text().replace("name: t", "name: a/b # here"), "wrong-form", "'a/b'"),
    "no grid": ("name: t # here\n", "not-one-of", "has none", "grid, paper"),
    "grid of nothing": ("name: t\ngrid: [] # here\n", "empty-list", "grid: "),
    "grid as text": ("name: t\ngrid: npo # here\n", "wrong-type", "'npo'", "a mapping"),
    "not YAML": ("name: t\ngrid: {benchmark: [fictional # here\n", "not-yaml"),
    "a list": ("- name: t # here\n", "not-a-mapping"),
    "nothing": ("# here", "not-a-mapping"),
    "a tab": ("name: t\n\tgrid: 3 # here\n", "not-yaml"),
    "model redefined": (text(after=TINY), "defined-twice", "'tiny'", "models.yaml"),
    "model without weights": (
        text(after="models:\n  nano: # here\n    prompt: chat"),
        "not-one-of", "models.nano", "build, source, target"),
    "model of two sorts": (text(after=NANO.replace("nano:", "nano: # here") + "    source: [x]"), "not-one-of", "build, source, target"),
    "no value": (text(after="attribution: # here"), "null-value", "attribution"),
    "a factor that stands twice": (text(after="attribution: {factors: [lr, lr]} # here"), "value-stands-twice", "factors", "'lr'"),
    "several values of a setting": (text(after=NANO + "    finetune:\n      lr: [1, 2] # here"), "value-not-allowed", "[1, 2]"),
    "the second value of an axis": (text("lr:\n    - 1e-4\n    - 0 # here"), "value-not-allowed", "lr is 0"),
    "the second block": (
        "name: t\ngrid:\n  - {benchmark: fictional, model: tiny, split: forget10, objective: npo}\n  - split: forget05 # here\n",
        "missing-key", "grid.1", "lacks benchmark"),
    "benchmark that is nowhere": (
        text(benchmark="benchmark: few", after="benchmarks:\n  few:\n    kind: tofu\n    source: [no/where] # here\n" + RATIOS),
        "place-not-found", "benchmark few", "no/where"),
    "model that is nowhere": (
        text(model="model: nano", after="models:\n  nano:\n    source: [$NO_SUCH/w, no/where] # here\n"),
        "place-not-found", "model nano", "$NO_SUCH/w, no/where"),
    "width": (text(after=NANO.replace("16,", "1,").replace("32}", "32} # here")), "out-of-bounds", "hidden_size: is 1", "at least 8"),
    "kind": (
        text(benchmark="benchmark: few", after="benchmarks:\n  few:\n    kind: mus # here\n    source: [x]\n" + RATIOS),
        "unknown-kind", "'mus'", "mean muse?", "fictional, fictional_choice, lume, multiple_choice, muse, rwku, tofu"),
    "training text": (
        text(after="benchmarks:\n  few: {kind: muse, train_on: exerpts, source: [x], forget: {forget: retain}} # here"),
        "unknown-train-on", "'exerpts'", "mean excerpts?"),
    "words": (
        text(after="benchmarks:\n  few: {kind: muse, piece_words: 0, source: [x], forget: {forget: retain}} # here"),
        "out-of-bounds", "piece_words: is 0", "at least 1"),
    "key of another kind": (
        text(after="benchmarks:\n  tofu-mine:\n    kind: muse\n    source: [x]\n    forget: {forget: retain}\n    retain_row: 3 # here"),
        "unknown-key", "'retain_row'", "benchmarks.tofu-mine"),
    "key of no kind, of a benchmark with the name of another": (
        text(after="benchmarks:\n  tofu:\n    kind: muse\n    source: [x]\n    forget: {forget: retain}\n    text: 3 # here"),
        "unknown-key", "benchmarks.tofu ", "mean texts?"),
    "no source": (
        text(after="benchmarks:\n  tofu: # here\n    kind: muse\n    forget: {forget: retain}"),
        "missing-key", "benchmarks.tofu: ", "kind, forget, source"),
    "no kind": (text(after="benchmarks:\n  mine: # here\n    forget: {forget: retain}"), "missing-key", "benchmarks.mine: "),
    "classifier": (
        text(benchmark="benchmark: few", after="benchmarks:\n  few:\n    kind: fictional\n    fluency: [hub:a/b] # here\n" + RATIOS),
        "not-a-hub-place", "benchmark few", "'hub:a/b'"),
    "selection rule": (text(after="selection: {rule: bst} # here"), "unknown-rule", "'bst'", "mean best?"),
    "selection without rule": (text(after="selection: {metric: model_utility} # here"), "missing-key"),
    "metric to choose by": (
        text(after="selection: {rule: best, metric: model_utilty} # here"),
        "unknown-metric", "selection", "mean model_utility?"),
    "metric to keep": (text(after="selection: {rule: best, subject_to: {metric: mu, at_least: 1}} # here"), "unknown-metric", "'mu'"),
    "metric to attribute": (
        text("lr: [1e-4, 2e-4]", after="attribution: {factors: [lr], metrics: [forget_quality_D]} # here"),
        "unknown-metric", "attribution", "mean forget_quality_d?"),
    "metric of running text": (text(after="selection: {rule: best, metric: knowmem_retain} # here"), "unknown-metric", "'knowmem_retain'"),
    "p-value to attribute": (
        text("lr: [1e-4, 2e-4]", after="attribution: {factors: [lr], metrics: [forget_quality]} # here"),
        "effect-of-p-value", "'forget_quality'"),
    "metric without a rule": (text(after="selection: {rule: all, metric: model_utility} # here"), "key-of-another-rule", "'metric'"),
    "two bounds": (
        text(after="selection: {rule: best, subject_to: {metric: privleak, at_least: 1, at_most: 2}} # here"),
        "not-one-of", "at_least, at_most"),
    "axis that matters to nothing": (text("dv_beta: [1, 2] # here", variant="variant: base"), "axis-without-effect", "'dv_beta'"),
    "exclude nothing": (text("lr: [1e-4, 2e-4]", after="exclude:\n  - {epochs: 7} # here"), "excludes-nothing", "'epochs' 7"),
    "exclude field": (text(after="exclude:\n  - {objetive: npo} # here"), "unknown-field", "'objetive'", "mean objective?"),
    "exclude value": (text(after="exclude:\n  - {lr: fast} # here"), "value-not-allowed", "'fast'"),
    "exclude misspelt objective": (text(after="exclude:\n  - {objective: npoo} # here"), "unknown-objective", "'npoo'"),
    "exclude all": (text(after="exclude: # here\n  - {benchmark: fictional}"), "excludes-all"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_with_its_place(case, tmp_path):
    written, code, *facts = BAD[case]
    path = tmp_path / "bad.yaml"
    path.write_text(written)
    line = next(n for n, line in enumerate(written.splitlines(), 1) if "# here" in line)
    with refused(code, f"{path}:{line}: ", *facts):
        load(path)


def test_a_config_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(BaldroError, match=r"no\.yaml: .*No such file or directory"):
        load(tmp_path / "no.yaml")


def test_the_workflow_hands_over_a_mapping_and_its_files(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text("beta: 5"))
    with refused("ambiguous-name", f"{path}:8: ", "'beta'"):
        load(yaml.safe_load(path.read_text()), files=[path])
    with refused("ambiguous-name", "config (command line): ", "'beta'"):
        load(yaml.safe_load(path.read_text()))


TWICE = {
    "top": ("name: t\nname: u\n", 2, "name", 1),
    "nested": ("grid:\n  lr: 1e-4\n  seed: 1\n  lr: 1e-5\n", 4, "lr", 2),
    "flow": ('grid: {lr: 1e-4, "lr": 1e-5}\n', 1, "lr", 1),
    "model": ("models:\n  a: {source: [x]}\n  b: {source: [x]}\n  a: {source: [y]}\n", 4, "a", 2),
    "in a list": ("grid:\n  - lr: 1\n  - lr: 1\n    lr: 2\n", 4, "lr", 3),
    "behind an anchor": ("a: &a {x: 1, x: 2}\nb: {<<: *a}\n", 1, "x", 1),
}


@pytest.mark.parametrize("case", TWICE)
def test_a_key_that_stands_twice_is_refused_with_both_lines(case, tmp_path):
    """The last would win without a word, in a file that we read and in one that Snakemake has read before us."""
    written, line, key, first = TWICE[case]
    path = tmp_path / "twice.yaml"
    path.write_text(written)
    facts = f"{path}:{line}: ", f"'{key}'", f"line {first}"
    with refused("key-stands-twice", *facts):
        read(path)
    with refused("key-stands-twice", *facts):
        load(yaml.safe_load(text()), files=[path])
    path.with_suffix(".json").write_text('{"name": "t",\n\t"grid": {"lr": 1,\n\t"lr": 2}}')
    with refused("key-stands-twice", "twice.json:3: ", "'lr'", "line 2"):
        load(yaml.safe_load(text()), files=[path.with_suffix(".json")])


def test_a_merge_may_be_overridden_and_a_file_may_be_of_windows(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_bytes("\ufeffa: &a {x: 1, y: 2}\r\nb: {<<: *a, x: 3}\r\nc: {x: 1}\r\n".encode())
    assert read(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: t\n".encode("utf-16"), ": .*UTF-16"),
        (b"name: t\ndescription: caf\xe9\n", ":2: .*0xe9"),
        (b"name: t\ndescription: a\x07b\n", ":2: "),
        (b"name: t\n---\nname: u\n", ":1: "),
    ],
)
def test_a_file_that_is_no_yaml_in_utf_8_is_one_line(content, said, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_bytes(content)
    with pytest.raises(BaldroError, match=rf"^{path}{said}"):
        load(path)


def test_a_holdout_of_no_forget_split_is_one_line_with_its_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: t\ngrid: {benchmark: mine, model: tiny, split: secret, objective: npo}\nbenchmarks:\n  mine:\n    kind: tofu\n"
        f"    source: [{tmp_path}]\n    forget: {{secret: keep}}\n    holdout: {{secrets: others}}\n"
    )
    with refused("unknown-forget-split", f"{path}:8: benchmarks.mine.holdout", "'secrets'"):
        load(path)
    path.write_text(path.read_text().replace("secrets", "secret"))
    (run,) = [run for run in load(path).runs if run.objective == "npo"]
    assert load(path).holdout_split(run) == "others"


def test_what_is_held_out_is_never_guessed():
    tofu = {"kind": "tofu", "source": ["."], "forget": {"forget10": "retain90", "secret": "keep"}}
    assert define(tofu).held_out("forget10") is None
    assert define({**tofu, "holdout": {"secret": "others"}}).held_out("secret") == "others"
    assert define({"kind": "fictional", "forget": {"forget05": "retain95"}}).held_out("forget05") == "holdout05"
    assert define({"kind": "muse", "source": ["."], "forget": {"forget": "retain"}}).held_out("forget") is None


def test_a_published_target_without_its_retain_model_is_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: t\ngrid: {benchmark: tofu, model: hub, split: [forget10, forget05], objective: npo}\n"
        "models:\n  hub:\n    target: [hub:a/b@main]\n    retain: {retain90: [hub:a/c@main]}\n"
    )
    with refused("no-retain-model", f"{path}:", "hub", "forget05", "retain95"):
        load(path)


def test_a_source_that_is_nowhere_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("BALDRO_NOWHERE", raising=False)
    places = ["$BALDRO_NOWHERE/tofu", str(tmp_path / "none")]
    with refused("place-not-found", "benchmark tofu", *places):
        resolve(places, what="benchmark tofu")
    with refused("not-a-hub-place", "hub:owner/name@revision"):
        resolve(["hub:locuslab/TOFU"], what="benchmark tofu")
    assert resolve([*places, str(tmp_path), "hub:a/b@c"], what="x").path == tmp_path
    assert str(resolve([*places, "hub:a/b@c"], what="x")) == "hub:a/b@c"


def test_relative_places_begin_in_the_checkout_wherever_a_command_is_started(tmp_path, monkeypatch):
    """As the schema says: a folder of the same name in the working directory is not meant, and is spoken of if there is no other."""
    monkeypatch.chdir(ROOT)
    assert resolve(["nowhere", "docs"], what="x").path == Path("docs"), "in the checkout as it is written"
    (tmp_path / "docs").mkdir()
    (tmp_path / "weights-of-mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve(["docs"], what="x").path == ROOT / "docs"
    assert resolve(["./docs/../docs"], what="x").path.samefile(ROOT / "docs")
    assert resolve([str(tmp_path / "docs")], what="x").path == tmp_path / "docs"
    monkeypatch.setenv("BALDRO_MINE", "weights-of-mine")
    with refused("place-not-found", "BALDRO_MINE", "weights-of-mine"):
        resolve(["$BALDRO_MINE"], what="x")
    with refused("place-not-found", "model m", "weights-of-mine is in the working directory", ROOT):
        resolve(["weights-of-mine"], what="model m")


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))], ids=lambda p: p.name
)
def test_every_experiment_of_the_repository_loads(path):
    experiment = load(path)
    assert experiment.lineage()
    assert all(Run.parse(run.id) == run for run in experiment.lineage())
    assert all(len(run.id) <= LONGEST for run in experiment.lineage())
    assert LONGEST + len(".log") + len(".01234567.part") <= 255, "the longest name of a file of a run"


def test_experiments_have_names_of_their_own():
    paths = [ROOT / "config.yaml", *sorted((ROOT / "experiments").glob("*.yaml"))]
    names = [load(path).name for path in paths]
    assert len(set(names)) == len(names)
