"""A config's runs: united, without doubles, each after the one it starts from."""

import time
from itertools import product
from pathlib import Path

import pytest
from refusals import refused

from baldro.benchmarks import define
from baldro.benchmarks.kinds.muse import MUSE, MUSE_RAW
from baldro.config import load
from baldro.runs import Run
from baldro.runs.grid import expand

BLOCK = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo")


def of(*blocks, **more):
    return load({"name": "t", "grid": list(blocks) if len(blocks) > 1 else blocks[0], **more})


def unlearned(experiment) -> list[Run]:
    return [run for run in experiment.runs if run.facts.forgets]


def test_base_has_no_dv_beta_so_five_make_one_run():
    runs = unlearned(of(BLOCK | dict(variant=["base", "baldro-g", "baldro-dv"], dv_beta=[0.5, 1, 2, 5, 10])))
    assert [run.variant for run in runs] == ["base", "baldro-g"] + ["baldro-dv"] * 5


def test_any_field_may_be_a_list():
    runs = unlearned(
        of(BLOCK | dict(lr=["1e-4", 2e-4], seed=[0, 1, 2], weight_decay=[0, 0.1], split=["forget05", "forget10"]))
    )
    expected = product(["forget05", "forget10"], [1e-4, 2e-4], [0, 1, 2], [0, 0.1])
    assert {(r.split, r.lr, r.seed, r.weight_decay) for r in runs} == set(expected)
    assert len(runs) == 24


def test_blocks_are_united_without_doubles():
    experiment = of(BLOCK | dict(seed=[0, 1]), BLOCK | dict(seed=[1, 2], lr="0.00001"), BLOCK)
    assert [run.seed for run in unlearned(experiment)] == [0, 1, 2]


def test_exclude_leaves_out_runs_that_have_all_of_an_entry():
    grid = BLOCK | dict(objective=["npo", "simnpo"], variant=["base", "baldro-dv"], dv_beta=[1, 5], lr=[1e-4, 1e-3])
    whole = unlearned(of(grid))
    kept = unlearned(of(grid, exclude=[dict(objective="npo", lr="1e-3"), dict(dv_beta=[5.0], objective="simnpo")]))
    out = [r for r in whole if (r.objective == "npo" and r.lr == 1e-3) or (r.objective == "simnpo" and r.dv_beta == 5)]
    assert out
    assert kept == [run for run in whole if run not in out]


def test_every_compared_group_has_its_original_and_retain_once_and_first():
    experiment = of(BLOCK | dict(benchmark=["fictional", "tofu-800"], split=["forget05", "forget10"], seed=[0, 1]))
    groups = {}
    for run in experiment.runs:
        groups.setdefault((run.benchmark, run.model, run.split), []).append(run)
    assert len(groups) == 4
    for rows in groups.values():
        assert [run.objective for run in rows] == ["original", "retain", "npo", "npo"]
        assert [experiment.original(rows[-1]), experiment.retain(rows[-1])] == rows[:2]


def test_every_run_comes_after_the_one_it_starts_from():
    experiment = of(BLOCK | dict(split=["forget05", "forget10"], objective=["npo", "gradascent"]))
    lineage = experiment.lineage()
    assert len(set(lineage)) == len(lineage)
    for run in lineage:
        start = experiment.start(run)
        assert start is None or lineage.index(start) < lineage.index(run)
    made = [f"{run.split} {run.objective}" for run in lineage if run.objective in ("pretrain", "finetune")]
    assert sorted(made) == ["base pretrain", "full finetune", "retain90 finetune", "retain95 finetune"]
    assert made[0] == "base pretrain"
    assert set(experiment.runs) < set(lineage)


def test_the_models_own_settings_make_its_target():
    experiment = of(BLOCK)
    original, retain, run = experiment.runs
    assert experiment.start(run) == experiment.start(original) != experiment.start(retain)
    settings = experiment.models["tiny"]["finetune"]
    assert experiment.start(run).epochs == settings["epochs"]
    assert experiment.start(retain).split == experiment.retain_split(run) == "retain90"


def test_published_target_and_retain_models_need_no_training():
    experiment = of(BLOCK | dict(benchmark="tofu", model="llama-2-7b-chat", split=["forget01", "forget10"]))
    assert {run.objective for run in experiment.lineage()} == {"original", "retain", "npo"}
    assert {run.objective: experiment.part(run) for run in experiment.runs if run.split == "forget01"} == {
        "original": "target",
        "retain": "retain99",
        "npo": "target",
    }


def test_a_pretrained_base_is_finetuned_but_not_pretrained():
    experiment = of(BLOCK | dict(benchmark="tofu-smoke", model="smollm2-135m"))
    made = [run for run in experiment.lineage() if run.objective in ("pretrain", "finetune")]
    assert [run.split for run in made] == ["full", "retain90"]
    assert {experiment.part(run) for run in made} == {"base"}


def test_a_benchmark_whose_splits_have_no_ratio():
    """MUSE's splits are `forget` and `retain`, and `retain` is an objective, too."""
    experiment = of(BLOCK | dict(benchmark="muse-excerpts", model="small-2k", split="forget"))
    _, retain, run = experiment.runs
    assert experiment.retain_split(run) == "retain"
    assert (experiment.start(retain).split, experiment.start(retain).objective) == ("retain", "finetune")
    assert experiment.start(run).split == "full" and experiment.start(experiment.start(run)).split == "base"
    assert all(Run.parse(each.id) == each for each in experiment.lineage())
    assert len({each.id for each in experiment.lineage()}) == 6
    published = of(BLOCK | dict(benchmark="muse-news", model="llama-2-7b", split="forget"))
    assert [published.part(each) for each in published.lineage()] == ["target", "retain", "target"]


def test_files_of_a_benchmark_in_folders(tmp_path, monkeypatch):
    names = [f"{place}.json" for place in (*MUSE.values(), *MUSE_RAW.values())]
    for name in (*names, "scal/forget_1.json", "readme.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    monkeypatch.setenv("BALDRO_MUSE", str(tmp_path))
    experiment = of(BLOCK | dict(benchmark=["muse-news", "muse-excerpts"], model="small-2k", split="forget"))
    assert experiment.files("muse-news") == sorted(str(tmp_path / name) for name in names)
    (tmp_path / "privleak/forget.json").unlink()
    assert experiment.files("muse-excerpts") == sorted(
        str(tmp_path / name) for name in names if not name.startswith(("raw", "privleak/forget"))
    )
    assert of(BLOCK).files("fictional") == []


RATIO = {"forget10": "retain90"}


def test_a_changed_file_of_alternates_remakes_the_table(tmp_path, monkeypatch):
    for name in ("rows/full.json", "rows/readme.md", "others/b.jsonl", "others/a.json", "others/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.setenv("BALDRO_OTHERS", str(tmp_path / "others"))
    local = dict(kind="tofu", source=[str(tmp_path / "rows")], forget=RATIO)
    hub = dict(kind="tofu", source=["hub:a/b@main"], forget=RATIO)
    several = {
        "none": local,
        "file": {**local, "alternates": [str(tmp_path / "others/b.jsonl")]},
        "folder": {**local, "alternates": ["$BALDRO_OTHERS"]},
        "hub": {**hub, "alternates": ["$BALDRO_NONE", str(tmp_path / "others/a.json")]},
    }
    experiment = of(BLOCK | dict(benchmark=list(several), split="forget10"), benchmarks=several)
    found = {name: [str(Path(p).relative_to(tmp_path)) for p in experiment.files(name)] for name in several}
    assert found == {
        "none": ["rows/full.json"],
        "file": ["others/b.jsonl", "rows/full.json"],
        "folder": ["others/a.json", "others/b.jsonl", "rows/full.json"],
        "hub": ["others/a.json"],
    }


@pytest.mark.parametrize(
    ("benchmark", "offered"),
    [
        (dict(kind="fictional"), {"idk", "alternates"}),
        (dict(kind="tofu", source=["."]), {"idk"}),
        (dict(kind="tofu", source=["."], alternates=["others.jsonl"]), {"idk", "alternates"}),
        (dict(kind="muse", source=["."], forget={"forget": "retain"}), set()),
    ],
)
def test_the_other_answers_that_a_benchmark_has(benchmark, offered):
    assert set(define({"forget": RATIO, **benchmark}).other_answers) == offered


def test_references_are_those_of_the_answers_that_are_compared(tmp_path):
    objectives = ["gradascent", "npo", "undial", "idkdpo", "altpo"]
    experiment = of(BLOCK | dict(objective=objectives, variant="base", split="forget10"))
    found = {run.objective: experiment.references(run) for run in experiment.runs}
    assert found == {
        "original": (), "retain": (), "gradascent": (), "undial": (), "npo": ("answer",), "idkdpo": ("answer", "idk"),
        "altpo": ("answer", "alternates"),
    }  # fmt: skip


def test_a_classifier_that_is_nowhere_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("BALDRO_FLUENCY", raising=False)
    monkeypatch.setenv("BALDRO_TOFU", str(tmp_path))
    own = dict(kind="tofu", source=["$BALDRO_TOFU"], forget={"forget10": "retain90"})
    places = ["$BALDRO_FLUENCY", str(tmp_path / "none")]
    several = {"none": own, "nowhere": {**own, "fluency": places}, "hub": {**own, "fluency": [*places, "hub:a/b@main"]}}
    experiment = of(BLOCK | dict(benchmark=list(several)), benchmarks=several)
    assert [experiment.classifier(name) for name in several] == [None, None, "hub:a/b@main"]
    monkeypatch.setenv("BALDRO_FLUENCY", str(tmp_path))
    assert [experiment.classifier(name) for name in several] == [None, str(tmp_path), str(tmp_path)]


def test_a_classifiers_place_that_is_set_wrongly_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("BALDRO_FLUENCY", str(tmp_path / "none"))
    own = dict(kind="fictional", forget={"forget10": "retain90"}, fluency=["$BALDRO_FLUENCY"])
    with refused("place-not-found", "benchmark mine", "$BALDRO_FLUENCY"):
        of(BLOCK | dict(benchmark="mine"), benchmarks={"mine": own})
    with refused("not-a-hub-place", "hub:owner/name@revision"):
        of(BLOCK | dict(benchmark="mine"), benchmarks={"mine": {**own, "fluency": ["hub:a/b"]}})


def test_gradient_norms_are_asked_for_by_name():
    experiment = of(BLOCK | dict(benchmark=["fictional", "tofu"], split="forget10"))
    assert experiment.gradient_norms("fictional") and not experiment.gradient_norms("tofu")


def test_the_papers_grid_expands_at_once():
    grid = dict(
        benchmark="tofu", model="llama-2-7b-chat", split=["forget01", "forget05", "forget10"],
        objective=["npo", "simnpo", "satimp"], variant=["base", "baldro-g", "baldro-dv"], dv_beta=[1, 2, 5, 10],
        lr=[1e-5, 2e-5, 5e-5, 1e-4], batch_size=[8, 16, 32], retain_weight=[0.25, 0.5, 1, 2],
    )  # fmt: skip
    began = time.process_time()
    experiment = of(grid)
    experiment.lineage()
    assert len({run.id for run in unlearned(experiment)}) == 3 * 3 * (1 + 1 + 4) * 4 * 3 * 4 == 2592
    assert len(experiment.runs) == 2592 + 3 * 2
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("block", "code", "fact"),
    [
        (dict(BLOCK, betas=1), "unknown-axis", "'betas'"),
        (dict(BLOCK, beta=1), "ambiguous-name", "dv_beta"),
        (dict(BLOCK, lr=[]), "empty-list", "lr"),
        (dict(benchmark="fictional"), "missing-key", "model"),
    ],
)
def test_expand_by_itself_refuses_what_is_no_grid(block, code, fact):
    with refused(code, fact):
        expand(block)


def test_what_stands_under_then_starts_from_each_run_of_its_block():
    """A second request takes over what it does not say; another stage takes benchmark, model and split alone."""
    then = [dict(split="forget10", dv_beta=5), dict(stage="relearn", max_steps=[5, 10])]
    block = BLOCK | dict(split="forget05", variant=["base", "baldro-dv"], lr=1e-4, then=then)
    experiment = of(block)
    first = [run for run in experiment.runs if run.parent is None and run.facts.forgets]
    assert [run.id for run in first] == [f"fictional--tiny--forget05--npo{v}--lr=0.0001" for v in ("", "--baldro-dv")]
    for run, own in zip(first, ("npo", "npo--baldro-dv"), strict=True):
        children = {child.id.removeprefix(run.id) for child in experiment.runs if child.parent == run}
        second = f"--{own}--split=forget10--lr=0.0001--dv_beta=5" if "dv" in own else "--then=forget10"
        assert children == {second, "--relearn--max_steps=5", "--relearn--max_steps=10"}
    (child,) = [run for run in experiment.runs if run.parent == first[0] and run.facts.forgets]
    assert experiment.start(child) == first[0] and experiment.retain_split(child) == "retain90"
    assert experiment.before(child).id == f"{first[0].id}--scored--split=forget10"
    assert experiment.before(first[0]) == experiment.original(first[0])
    lineage = experiment.lineage()
    assert all(lineage.index(run.parent) < lineage.index(run) for run in lineage if run.parent)
    groups = [(run.split, run.objective) for run in experiment.runs if run.objective in ("original", "retain")]
    assert groups == [(split, name) for split in ("forget05", "forget10") for name in ("original", "retain")]


def test_checkpoints_are_rows_beside_original_and_retain():
    """Each is a part of its model, from its own place; nothing is trained."""
    places = {name: [f"hub:lab/{name}@{'a' * 40}"] for name in ("target", "kept", "NPO_lr1e-05", "RMU")}
    model = dict(target=places["target"], retain=dict(retain90=places["kept"]))
    model |= dict(checkpoints={name: places[name] for name in ("NPO_lr1e-05", "RMU")})
    block = dict(benchmark="tofu", model="mine", split="forget10", stage="none", checkpoint=["NPO_lr1e-05", "RMU"])
    experiment = of(block, models={"mine": model})
    point = "tofu--mine--forget10--"
    names = ("original", "retain", "published--checkpoint=NPO_lr1e-05", "published--checkpoint=RMU")
    assert [run.id for run in experiment.lineage()] == [point + name for name in names]
    assert [experiment.outside(run) for run in experiment.runs] == ["target", "retain90", "NPO_lr1e-05", "RMU"]
    with refused("unknown-part", "'NOP'", "models.yaml"):
        of(block | dict(checkpoint="NOP"), models={"mine": model})
    with refused("name-of-two", "'retain90'"):
        of(block, models={"mine": model | dict(checkpoints={"retain90": places["RMU"]})})
    with refused("key-missing", "target"):
        of(block, models={"mine": dict(source=places["target"], checkpoints={"RMU": places["RMU"]})})


def test_requests_are_a_chain_for_every_method_of_the_block():
    """Each starts from the model of the one before and is named after it; what stands under `then` starts from each."""
    requests, others = ["forget05", "forget10"], {name: value for name, value in BLOCK.items() if name != "split"}
    block = others | dict(requests=requests, variant=["base", "baldro-dv"], lr=1e-4, then=dict(stage="relearn"))
    experiment = of(block)
    methods = [run for run in experiment.runs if run.facts.forgets]
    first = "fictional--tiny--forget05--npo{}--lr=0.0001"
    assert [run.id for run in methods] == [
        first.format(variant) + then for then in ("", "--then=forget10") for variant in ("", "--baldro-dv")
    ]
    assert [experiment.start(run) for run in methods[2:]] == methods[:2]
    assert {run.parent for run in experiment.runs if run.stage == "relearn"} == set(methods)
    written = others | dict(split="forget05", variant=["base", "baldro-dv"], lr=1e-4)
    written |= dict(then=[dict(split="forget10", then=dict(stage="relearn")), dict(stage="relearn")])
    assert of(written).runs == experiment.runs
    kept = of(block, exclude=[dict(variant="baldro-dv")])
    assert [run for run in kept.runs if run.facts.forgets] == methods[::2]


def test_who_is_excluded_takes_along_what_starts_from_it():
    block = BLOCK | dict(variant=["base", "baldro-dv"], then=dict(stage="relearn"))
    kept = of(block, exclude=[dict(variant="baldro-dv", objective="npo")]).runs
    assert [run.objective for run in kept] == ["original", "retain", "npo", "relearn"]
    kept = of(block, exclude=[dict(stage="relearn")]).runs
    assert [run.objective for run in kept] == ["original", "retain", "npo", "npo"]


def test_stage_none_scores_a_published_checkpoint_as_it_is():
    experiment = of(dict(benchmark="tofu", model="llama-2-7b-chat", split="forget10", stage="none"))
    assert [run.id for run in experiment.lineage()] == [
        f"tofu--llama-2-7b-chat--forget10--{name}" for name in ("original", "retain")
    ]
    assert [experiment.outside(run) for run in experiment.runs] == ["target", "retain90"]


@pytest.mark.parametrize(
    ("more", "code", "fact"),
    [
        (dict(then=dict(stage="relern")), "unknown-stage", "'relern'"),
        (dict(then=dict(stage="finetune")), "unknown-stage", "'finetune'"),
        (dict(then=dict(split="forget11")), "unknown-split", "'forget11'"),
        (dict(then=dict(model="small-2k")), "parent-of-another-model", "tiny"),
        (dict(then=[]), "empty-list", "then"),
        (dict(then=dict(stage="relearn", max_stepps=3)), "unknown-key", "'max_stepps'"),
        (dict(then=dict(requests=["forget05", "forget11"])), "unknown-split", "'forget11'"),
        (dict(then=dict(requests=["forget05", "forget05"])), "value-stands-twice", "'forget05'"),
        (dict(then=dict(requests=["forget05"], split="forget05")), "not-one-of", "requests"),
        (dict(requests=["forget05"]), "not-one-of", "exactly one of split, requests"),
        (dict(lr=0.123456, weight_decay=0.123456, npo_beta=0.123456, then=dict(seed=1, then=dict(seed=2, then=dict(seed=3)))),
         "id-too-long", "237"),
    ],
)  # fmt: skip
def test_what_cannot_follow_is_refused(more, code, fact):
    with refused(code, fact):
        of(BLOCK | more)
