"""What Snakemake would do next after an edit: dry runs on the finished small experiment."""

import re
import resource

import pytest
import yaml

from .conftest import ROOT

pytestmark = pytest.mark.processes  # minutes of the real Snakemake

BASE = "few--nano--forget10--npo--lr=0.001--epochs=2--batch_size=2"
DV = "few--nano--forget10--npo--baldro-dv--lr=0.001--epochs=2--batch_size=2"
NEEDS = dict(gpu=2, mem_mb=900, train_minutes=9, score_minutes=8, micro_batch=3, batch_tokens=300, runs_per_job=5)
NEEDS |= dict(gradient_checkpointing=True, shard=True)
TRAINING = {"benchmark", "model", "finetune", "reference", "unlearn", "score"}


def one_run(*runs: str) -> dict[str, list[str]]:
    """The jobs of some new runs."""
    return {rule: sorted(runs) for rule in ("unlearn", "metrics")} | {"report": [""]}


def test_the_copy_is_what_runs(finished):
    said = finished.run("python", "-c", "import baldro; print(baldro.__file__)").stdout.strip()
    assert said == str(finished.folder / "baldro" / "__init__.py")


def test_from_nothing_each_model_is_made_once(fresh):
    assert fresh.rules() == {
        "benchmark": 1, "model": 1, "finetune": 3, "reference": 1, "unlearn": 2, "score": 2, "metrics": 4, "report": 1,
    }  # fmt: skip


def test_the_graph_of_a_thousand_runs_costs_little_beside_snakemakes_own(fresh, tmp_path):
    """CPU time of a dry run beside that of as many runs without a word about them: twice (benchmarks/grid.py), and not much more."""
    grid = yaml.safe_load((fresh.folder / "small.yaml").read_text())
    grid["grid"] |= dict(
        lr=[1e-4 * (i + 1) for i in range(20)], dv_beta=[0.1 * (i + 1) for i in range(9)], seed=[*range(5)]
    )
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))

    def seconds(jobs: int, config: str | None, *options: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = fresh.snakemake(config, *options, "--dry-run", "--quiet")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert re.search(rf"^total +{jobs}$", said.stdout + said.stderr, re.MULTILINE)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare = f"--snakefile {ROOT / 'benchmarks' / 'bare.smk'} --config runs=1000 --workflow-profile none --logger baldro"
    least = seconds(2002, None, *bare.split())
    assert seconds(2012, str(tmp_path / "grid.yaml")) < 3 * least


def test_what_an_experiment_adds_is_new_runs_and_its_report(checkout):
    """Every axis, by blocks that each have the small experiment's runs too; another experiment shares them."""
    axes = (
        {"dv_beta": [2, 5]},
        {"lr": ["1e-3", "2e-3"]},
        {"seed": [0, 1]},
        {"variant": ["base", "baldro-g"]},
        {"objective": ["npo", "simnpo"], "variant": "base"},
    )
    small = yaml.safe_load((checkout.folder / "small.yaml").read_text())["grid"]
    new = [
        f"{DV}--dv_beta=5",
        f"{BASE}--seed=1",
        f"{DV}--seed=1",
        DV.replace("-dv", "-g"),
        BASE.replace("npo", "simnpo"),
    ]
    new += [run.replace("0.001", "0.002") for run in (BASE, DV)]
    config = checkout.write("more.yaml", name="other", grid=[small | each for each in axes])
    assert checkout.planned(config) == one_run(*new)


def test_a_default_written_out_is_the_same_run(checkout):
    config = checkout.write("same.yaml", dv_beta="2.0", npo_beta=0.1, weight_decay="1e-2", lr=0.001, satimp_beta1=7)
    assert checkout.planned(config) == {"report": [""]}  # the report shows the config's text


def test_other_answers_have_references_of_their_own(fresh, tmp_path):
    """A job for each kind, however many runs compare with it; each run is told which are its own."""
    config = yaml.safe_load((fresh.folder / "small.yaml").read_text())
    config["grid"] |= dict(objective=["npo", "simnpo", "idkdpo", "altpo"], variant="base", lr=["1e-3", "2e-3"])
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(config))
    said = fresh.snakemake(str(tmp_path / "more.yaml"), "--dry-run", "--printshellcmds", "--workflow-profile", "none")
    text = said.stdout + said.stderr
    run = "few--nano--forget10--original"
    kinds = {"": "", "-alternates": "--answers alternates ", "-idk": "--answers idk "}
    taken = re.findall(r"baldro reference --log (\S+) .*?/model +(--answers \S+ )? *--output (\S+)", text)
    assert sorted(taken) == sorted(
        (f"logs/reference/{run}{kind}.log", option, f"results/runs/{run}/reference{kind}.parquet")
        for kind, option in kinds.items()
    )
    told = re.findall(r"baldro train .*--run \S+--forget10--(\w+)\S* .*--retain-split retain90 (.*?) *--output", text)
    gold = f"--reference results/runs/{run}/reference.parquet"
    others = {
        kind: f"{gold} --alternate-reference results/runs/{run}/reference-{kind}.parquet"
        for kind in ("idk", "alternates")
    }
    assert len(told) == 8
    assert dict(told) == {"npo": gold, "simnpo": "", "idkdpo": others["idk"], "altpo": others["alternates"]}


def test_words_and_what_makes_no_numbers_rerun_nothing(checkout):
    checkout.edit("baldro/training/state.py", "import errno\n", "# a comment\nimport errno\n")
    checkout.edit("baldro/training/loop.py", '"""The loop that', '"""A loop that')
    checkout.edit("baldro/prompts/limits.py", '"""Most sequences in a batch."""', '"""At most."""')
    checkout.edit("baldro/cli/main.py", "default=64", "default=32")
    checkout.edit("baldro/durable/progress.py", "every: float = 5.0", "every: float = 9.0")
    checkout.edit(
        "plugins/snakemake-logger-plugin-baldro/snakemake_logger_plugin_baldro/__init__.py",
        "LOG_TAIL_LINES = 3",
        "LOG_TAIL_LINES = 4",
    )
    checkout.edit("profiles/default/config.yaml", "cores: all", "cores: 2")
    checkout.edit("models.yaml", "tiny:", "tinier:")
    checkout.edit("benchmarks.yaml", "tofu-smoke:", "tofu-smokes:")
    (checkout.folder / "README.md").write_text("Another.\n")
    (checkout.folder / "config.yaml").touch()
    (checkout.folder / "small.yaml").touch()
    assert checkout.planned() == {}


def test_a_plot_reruns_the_report_only(checkout):
    checkout.edit("baldro/report/figures/tradeoff.py", "import ", "import math as _m\nimport ")
    assert checkout.rules() == {"report": 1}


def test_a_metric_reruns_metrics_and_report_only(checkout):
    checkout.edit("baldro/metrics/utility.py", "import ", "import math as _m\nimport ")
    assert checkout.rules() == {"metrics": 4, "report": 1}


def test_a_method_reruns_its_own_runs_and_no_other(checkout):
    """Which edit belongs to which runs: tests/runs/test_fingerprint.py."""
    checkout.edit("baldro/methods/objectives/satimp.py", "(1 - p_BT)", "(2 - p_BT)")
    checkout.edit("baldro/methods/variants/cvar.py", "1e-9", "1e-8")
    checkout.edit("baldro/methods/combiners/blur.py", "gamma=gamma - lam", "gamma=gamma + lam")
    checkout.edit("baldro/methods/variants/baldro_dv.py", "torch.softmax(", "2 * torch.softmax(")
    assert checkout.planned() == one_run(DV)


def test_the_online_softmax_belongs_to_the_loop_so_finetuning_is_done_again_too(checkout):
    """Coarser than it must be: the loop imports it, and finetuning uses the same loop."""
    checkout.edit("baldro/methods/variants/online.py", "-losses_B) / dv_beta", "-losses_B) / (2 * dv_beta)")
    found = checkout.rules()
    assert (found["finetune"], found["unlearn"]) == (3, 2)
    assert "benchmark" not in found and "model" not in found


def test_what_scores_reruns_no_finetune(checkout):
    """Unlearning is done again all the same: there are no models of it."""
    checkout.edit("baldro/scoring/likelihood.py", "CPU_ELEMENTS = 2**21", "CPU_ELEMENTS = 2**20")
    assert checkout.rules() == {"reference": 1, "unlearn": 2, "score": 2, "metrics": 4, "report": 1}


def changed(checkout, models: dict | None = None, benchmarks: dict | None = None) -> str:
    """A config in which the small experiment's definitions have other values, and their keys another order."""
    there = yaml.safe_load((checkout.folder / "small.yaml").read_text())
    nano, few = (
        dict(reversed(there[kind][name].items())) for kind, name in (("models", "nano"), ("benchmarks", "few"))
    )
    return checkout.write(
        "other.yaml", models={"nano": nano | (models or {})}, benchmarks={"few": few | (benchmarks or {})}
    )


def test_what_makes_no_number_of_a_definition_trains_and_scores_nothing(checkout):
    """What only a plan reads, and what the jobs ask of a machine."""
    config = changed(checkout, {"parameters": 5000, "needs": NEEDS}, {"tokens_per_row": 30})
    assert not TRAINING & set(checkout.rules(config))


def test_what_jobs_need_of_a_machine_reruns_nothing(checkout):
    """Not even the model's JSON; the report shows the config's text, and a shared entry is no part of that."""
    definition = yaml.safe_load((checkout.folder / "small.yaml").read_text())["models"]["nano"]
    shared = yaml.safe_load((checkout.folder / "models.yaml").read_text())
    (checkout.folder / "models.yaml").write_text(yaml.safe_dump(shared | {"nano": definition | {"needs": NEEDS}}))
    assert checkout.rules(checkout.write("other.yaml", name="other", models={})) == {"report": 1}


def test_jobs_ask_for_what_their_model_needs(checkout):
    config = changed(checkout, {"needs": NEEDS})
    options = ("--workflow-profile", "none", "--dry-run", "--forceall", "--set-resources", "unlearn:micro_batch=16")
    said = checkout.snakemake(config, *options, "--printshellcmds")
    asked: dict[str, list[dict[str, int]]] = {}
    listed = r"^rule (\w+):(?:\n    .*)*?\n    resources: (.*)"
    for rule, resources in re.findall(listed, said.stdout + said.stderr, re.MULTILINE):
        pairs = [pair.split("=") for pair in resources.split(", ")]
        mine = {name: int(value) for name, value in pairs if name not in ("tmpdir", "mem", "mem_mib", "keep")}
        asked.setdefault(rule, []).append(mine)
    training = dict(gpu=2, nodes=1, mem_mb=900, runtime=9, micro_batch=3, gradient_checkpointing=1, shard=1)
    assert (said.stdout + said.stderr).count("--devices 2 --nodes 1 --shard 1 ") == (3 + 2) + (1 + 2)
    scoring = dict(gpu=2, nodes=1, mem_mb=900, runtime=8, batch_tokens=300, shard=1)
    assert asked.pop("finetune") == [training] * 3
    both = training | scoring | dict(runtime=9 + 8, micro_batch=16, runs_per_job=5, tasks_batch=1)
    assert asked.pop("unlearn") == [both] * 2
    assert asked.pop("model") == [dict(max_new_tokens=8)]
    assert asked.pop("reference") == [scoring]
    assert asked.pop("score") == [scoring | dict(runs_per_job=5, tasks_batch=1)] * 2
    assert "metrics" in asked and not any(found for jobs in asked.values() for found in jobs)  # these stay here


def test_a_further_attempt_keeps_its_batches(checkout):
    """`baldro` is replaced by one that writes down how it was called, and fails."""
    command = checkout.folder / "bin" / "baldro"
    command.write_text('#!/bin/sh\necho "$@" >> calls.txt\nexit 2\n')
    options = ("--cores", "1", "--retries", "3", "--forcerun", "reference", "--until", "reference")
    checkout.snakemake("small.yaml", *options, code=1)
    calls = (checkout.folder / "calls.txt").read_text()
    assert re.findall(r"^reference .*--batch-tokens (\d+)", calls, re.MULTILINE) == ["16384"] * 4


def test_a_longer_generation_makes_no_data_and_finetunes_nothing(checkout):
    found = checkout.rules(changed(checkout, benchmarks={"max_new_tokens": 9}))
    assert (found["unlearn"], found["score"]) == (2, 2)
    assert not {"benchmark", "finetune", "reference"} & set(found)


def test_another_size_of_model_or_benchmark_reruns_what_was_made_from_it(checkout):
    found = checkout.rules(changed(checkout, benchmarks={"seed": 1}))
    assert (found["benchmark"], found["finetune"], found["unlearn"], found["score"]) == (1, 3, 2, 2)


def test_a_source_that_has_gone_is_no_reason_to_take_old_rows_of_another_definition(checkout):
    tofu = {"kind": "tofu", "source": ["nowhere/tofu"], "forget": {"forget10": "retain90"}}
    process = checkout.snakemake(checkout.write("gone.yaml", benchmarks={"few": tofu}), "--dry-run", code=1)
    assert "nowhere/tofu" in process.stdout + process.stderr
