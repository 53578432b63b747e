"""What a stage's fingerprint sees of an edit: code, and only code that the stage uses."""

import shutil
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from baldro.benchmarks import KINDS, module_of
from baldro.methods.catalogue import COMBINERS, VARIANTS
from baldro.runs import OBJECTIVES, Run, code_of, fingerprint

module = import_module("baldro.runs.fingerprint")  # by its name: in baldro.runs the function hides it
MODULES, PACKAGE = module.MODULES, module.PACKAGE
POINT = dict(benchmark="b", model="m", split="s")
RUNS = {objective: Run.of(**POINT, objective=objective) for objective in ("pretrain", "finetune", *OBJECTIVES)} | {
    "npo baldro-g": Run.of(**POINT, objective="npo", variant="baldro-g"),
    "npo baldro-dv": Run.of(**POINT, objective="npo", variant="baldro-dv"),
    "ascent cvar": Run.of(**POINT, objective="gradascent", variant="cvar"),
    "npo blur": Run.of(**POINT, objective="npo", combiner="blur"),
    "npo blur-upper": Run.of(**POINT, objective="npo", combiner="blur-upper"),
    "npo retain cvar": Run.of(**POINT, objective="npo", retain_variant="cvar", retain_normalisation="sample-mean"),
    "npo lora": Run.of(**POINT, objective="npo", lora_rank=4),
    "npo rounded": Run.of(**POINT, objective="npo", precision="bf16-stochastic"),
    "finetune lora": Run.of(**POINT, objective="finetune", lora_rank=4),
}
TRAINED = set(RUNS)
WITHOUT_LOSS = {name for name in RUNS if name.split()[0] in ("pretrain", "finetune")}
SUMMED = {name for name, run in RUNS.items() if run.combiner == "sum"}
PLAIN = {name for name, run in RUNS.items() if "base" in (run.variant, run.retain_variant)} - WITHOUT_LOSS
NPO = {name for name in RUNS if name.startswith("npo")}
STAGES = {stage: dict(stages=[stage]) for stage in ("model", "reference", "score", "metrics", "report")}
STAGES |= {"reference idk": dict(stages=["reference", "refusals"])}
STAGES |= {kind: dict(stages=["benchmark"], own=(module_of(kind),)) for kind in KINDS}
SCORED = {"reference", "reference idk", "score"}

NO_NUMBERS = {
    "errors": "words",
    "durable": "how files are kept",
    "stages": "which fields matter to a run and what it starts from: its values are in its id",
    "runs": "a run's values are in its id, an experiment's in the files and options of its jobs",
    "methods.catalogue": "which methods there are",
    "methods.declared": "which methods there are",
    "methods.signature": "which fields a method has: their values are in the id",
    "methods.values": "bounds of fields",
    "models.hub": "the cache of what was downloaded: the commit is in the model's description",
    "jobs.__init__": "when the garbage collector runs",
    "jobs.training": "calls the loop and writes what it gives",
    "jobs.finished": "keeps what a run has made until it is read",
    **dict.fromkeys(("jobs.several", "jobs.nodes"), "start processes"),
    "jobs.provenance": "what a result was made from",
    "jobs.metrics": "reads, writes and prints",
    **dict.fromkeys(
        (
            "records.dynamics",
            "records.evidence",
            "records.failure",
            "records.finished",
            "records.metrics",
            "records.model",
            "records.per_sample",
            "records.reference",
            "records.report",
            "records.run",
            "records.slurm",
            "records.steps",
            "records.store",
            "records.tasks",
            "records.weights",
        ),
        "writes and reads a file of results",
    ),
}
"""Imported, and listed nowhere: modules, or rooms, and why."""
SAMPLES = "jobs.inputs makes training's samples with it"
DEVICES = dict.fromkeys(("training.devices", "training.shards"), "several devices give one's numbers, to rounding")
ASIDE = {
    "benchmark": {},
    "train": {
        **dict.fromkeys(("models.description", "places"), "what they find is in the description, which is an input"),
        **dict.fromkeys(
            ("scoring", "jobs.scoring", "benchmarks"), "of the evidence, whose own hash stands beside this one"
        ),
        "benchmarks.idk": "for runs that teach refusals",
    },
    "reference": {
        **dict.fromkeys(("models.description", "places"), "as for train"),
        **dict.fromkeys(("training.update", "methods"), SAMPLES),
        **DEVICES,
        "benchmarks.idk": "for references of refusals",
    },
    "score": {
        **dict.fromkeys(("models.description", "places"), "as for train"),
        **dict.fromkeys(("training.update", "methods"), SAMPLES),
        **DEVICES,
        "benchmarks.idk": "refusals are taught, not scored",
    },
    "adapters": {**dict.fromkeys(("models", "places", "prompts"), "in train's list")},
    "fluency": {**dict.fromkeys(("models", "places", "prompts"), "in score's list")},
    "harness": {**dict.fromkeys(("benchmarks", "places", "prompts"), "in score's list")},
    "metrics": {
        **dict.fromkeys(
            ("stats.factorial", "stats.forget_quality_values", "stats.paired", "stats.relabelled"), "the report's"
        ),
    },
}
"""Stage -> what it imports, and what makes no number of it."""
BEGIN = {
    "benchmark": ("benchmarks.__init__", *map(module_of, KINDS)),
    "model": ("models.description",),
    "train": ("jobs.training",),
    "adapters": ("training.adapters",),
    "rounding": ("training.rounding",),
    "reference": ("jobs.inputs", "scoring.likelihood"),
    "refusals": ("benchmarks.idk",),
    "score": ("jobs.inputs", "scoring.__init__"),
    "quantised": ("models.quantised",),
    "fluency": ("scoring.fluency",),
    "harness": ("scoring.harness",),
    "metrics": ("jobs.metrics",),
    "report": ("report.__init__",),
}
"""Stage -> modules that its verb calls."""
OWN = {
    **{module_of(kind): "benchmark" for kind in KINDS},
    **{f"methods.objectives.{name}": "train" for name in OBJECTIVES},
    **{f"methods.variants.{name}": "train" for name in VARIANTS},
    **{f"methods.combiners.{name}": "train" for name in COMBINERS},
}
"""Modules that are loaded by their name, and the stage that loads them."""


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def is_in(name: str, entries: Iterable[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in entries)


def imported(*names: str, aside: Iterable[str] = ()) -> set[str]:
    """The modules that some modules import, and so on; not beyond those that make no number."""
    found, queue = set(), [path for name in names for path in module.listed((name,), PACKAGE)]
    while queue:
        path = queue.pop()
        if path.suffix == ".py" and dotted(path) not in found and not is_in(dotted(path), [*NO_NUMBERS, *aside]):
            found.add(dotted(path))
        elif dotted(path) not in names:
            continue
        queue += module.imported(path, PACKAGE) - {PACKAGE.joinpath(*n.split(".")).with_suffix(".py") for n in found}
    return found


@pytest.mark.parametrize("stage", MODULES)
def test_a_list_has_what_its_stage_imports_and_nothing_else(stage):
    """Both ways. What is lacking belongs into MODULES, or with its reason into NO_NUMBERS or ASIDE; what is too much, out of MODULES."""
    aside = ASIDE.get(stage, {})
    found = imported(*BEGIN[stage], aside=aside)
    by_name = {dotted(path) for own in OWN for path in module._with_room(own.replace("-", "_"), PACKAGE)}
    known = {dotted(path) for path in module.listed(MODULES[stage], PACKAGE)}
    assert found - known - by_name == set(), "not listed"
    unused = [entry for entry in MODULES[stage] if not any(is_in(name, [entry]) for name in found)]
    assert unused == [], "not imported"
    assert not [entry for entry in MODULES[stage] if is_in(entry, [*NO_NUMBERS, *aside])], "makes no number, it is said"


@pytest.mark.parametrize("own", OWN)
def test_what_a_module_of_its_own_imports_is_listed_or_of_its_room(own):
    stage, name = OWN[own], own.replace("-", "_")
    known = {dotted(path) for path in module.listed(MODULES[stage], PACKAGE) | module._with_room(name, PACKAGE)}
    assert imported(name, aside=ASIDE[stage]) <= known


def test_every_exception_is_one():
    """A module that is no longer there, or no longer imported, needs no reason."""
    entries = {*NO_NUMBERS, *(name for aside in ASIDE.values() for name in aside)}
    assert [entry for entry in entries if not any(path.is_file() for path in module.listed((entry,), PACKAGE))] == []


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    """The package as it is now, whatever is edited meanwhile."""
    return shutil.copytree(
        PACKAGE, tmp_path_factory.mktemp("pristine") / "baldro", ignore=shutil.ignore_patterns("__pycache__")
    )


@pytest.fixture
def changed(pristine, tmp_path, monkeypatch):
    """Which stages and runs an edit of one file of the package changes, by name."""

    def codes(package: Path) -> dict[str, str]:
        monkeypatch.setattr(module, "PACKAGE", package)
        stages = {name: fingerprint(*what["stages"], own=what.get("own", ())) for name, what in STAGES.items()}
        return stages | {name: code_of(run) for name, run in RUNS.items()}

    def edit(file: str, old: str, new: str) -> set[str]:
        copy = shutil.copytree(pristine, tmp_path / "baldro")
        text = (copy / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (copy / file).write_text(text.replace(old, new, 1))
        before, after = codes(pristine), codes(copy)
        return {name for name in before if before[name] != after[name]}

    return edit


def test_the_same_code_elsewhere_has_the_same_fingerprint(changed):
    assert changed("training/loop.py", "", "") == set()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/state.py", "import errno\n", "# a comment\nimport errno\n"),
        ("training/loop.py", '"""The loop that', '"""A loop that'),
        ("training/order.py", "ROUNDING = 0, 1, 2, 3", "ROUNDING = (\n    0,\n    1,\n    2,\n    3,\n)"),
        ("methods/variants/base.py", '    """1/n each."""\n', ""),
        ("methods/variants/baldro_g.py", "1/k on the k hardest", "1/k on the first k"),
        ("methods/combiners/blur.py", "whatever is retained", "always"),
        ("methods/objectives/npo.py", "NPO's inverse temperature.", "Another sentence."),
        ("methods/declared.py", '"loss", "token_loss"', '"token_loss", "loss"'),
        ("methods/objectives/npo.py", "* (stats.logp_B", "*   (stats.logp_B"),
        ("durable/progress.py", "every: float = 5.0", "every: float = 9.0"),
        ("durable/files.py", "token_hex(4)", "token_hex(8)"),
        ("durable/lease.py", ">= 1:", ">= 2:"),
        ("jobs/several.py", "RANK", "OTHER_RANK"),
        ("records/finished.py", "finished.json", "other.json"),
        ("cli/main.py", "default=64", "default=32"),
        ("runs/experiment.py", "found: dict[Run, None] = {}", "found: dict[Run, None] = dict()"),
    ],
)
def test_words_layout_and_what_makes_no_numbers_change_nothing(changed, file, old, new):
    assert changed(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("training/order.py", "ROUNDING = 0, 1, 2, 3", "ROUNDING = 0, 1, 2, 4", TRAINED),
        ("methods/variants/__init__.py", '"weights"]', '"weights"] + []', TRAINED),
        ("methods/variants/base.py", "1 / len(losses_B)", "2 / len(losses_B)", PLAIN),
        ("methods/variants/online.py", "-losses_B) / dv_beta", "-losses_B) / (2 * dv_beta)", TRAINED),
        (
            "methods/variants/baldro_dv.py",
            "torch.softmax(exponents(",
            "torch.softmax(2 * exponents(",
            {"npo baldro-dv"},
        ),
        ("methods/variants/baldro_g.py", "+ 1e-9", "+ 1e-8", {"npo baldro-g"}),
        ("methods/variants/cvar.py", "1e-9", "1e-8", {"ascent cvar", "npo retain cvar"}),
        ("methods/variants/chi2.py", "0.5 *", "0.4 *", set()),
        ("methods/combiners/__init__.py", "PIECE = 1 << 22", "PIECE = 1 << 21", TRAINED),
        ("methods/combiners/sum.py", "gamma=gamma", "gamma=2 * gamma", SUMMED),
        ("methods/combiners/blur.py", "gamma=gamma - lam", "gamma=gamma + lam", {"npo blur"}),
        ("methods/combiners/blur_upper.py", "lam=lam - gamma", "lam=lam + gamma", {"npo blur-upper"}),
        ("methods/combiners/uno.py", "factor = ratio", "factor = 2 * ratio", set()),
        ("methods/combiners/dual.py", "max(lam + ", "max(lam - ", {"pdu"}),
        ("training/adapters/fila.py", "import ", "import math as _m\nimport ", {"npo lora", "finetune lora"}),
        ("training/rounding.py", "LOST = 16", "LOST = 15", {"npo rounded"}),
        ("methods/objectives/__init__.py", ".sum(1)", ".mean(1)", TRAINED),
        ("methods/objectives/npo.py", "-2 / npo_beta", "-3 / npo_beta", NPO),
        ("methods/objectives/simnpo.py", "loss(", "loss_(", {"simnpo"}),
        ("methods/objectives/satimp.py", "(1 - p_BT)", "(2 - p_BT)", {"satimp"}),
        ("methods/objectives/wga.py", "] = 1.0", "] = 2.0", {"wga"}),
        ("methods/objectives/_preference.py", "-2 / dpo_beta", "-3 / dpo_beta", {"altpo", "idkdpo"}),
        ("models/forward.py", "HEAD_ELEMENTS =", "HEAD_ELEMENTS = 1 +", TRAINED | SCORED),
        ("scoring/decoder.py", "import torch", "import math as _m\nimport torch", {"score"}),
        ("models/heads.py", "import torch", "import math as _m\nimport torch", TRAINED | SCORED | {"model"}),
        ("models/description.py", "starts={}", 'starts={"a": 1}', {"model"}),
        ("benchmarks/idk.py", "I do not know.", "I know.", {"idkdpo", "reference idk"}),
        ("benchmarks/kinds/muse/doubts.py", '"forget"', '"retain"', {"muse"}),
        ("places.py", '"hub:"', '"web:"', {*KINDS, "model"}),
        ("report/templates/page.html.j2", "</body>", "<hr></body>", {"report"}),
        ("metrics/utility.py", "import ", "import math as _m\nimport ", {"metrics", "report"}),
        ("stats/paired.py", "import numpy", "import math as _m\nimport numpy", {"report"}),
        ("report/figures/tradeoff.py", "import ", "import math as _m\nimport ", {"report"}),
        (
            "benchmarks/kinds/fictional/generator.py",
            "WRONG_OPTIONS = 5, 3",
            "WRONG_OPTIONS = 5, 4",
            {"fictional", "fictional_choice"},
        ),
    ],
)
def test_an_edit_changes_the_stages_that_use_it_and_no_other(changed, file, old, new, what):
    assert changed(file, old, new) == what


def test_a_fingerprint_is_taken_once(monkeypatch):
    """A workflow asks for it in every job."""
    run = RUNS["npo"]
    before = code_of(run), fingerprint("score")
    monkeypatch.setattr(module, "digest", lambda path: pytest.fail(f"{path} is read again"))
    assert (code_of(run), fingerprint("score")) == before


def test_a_new_method_changes_no_run_that_there_was(pristine, tmp_path, monkeypatch):
    copy = shutil.copytree(pristine, tmp_path / "baldro")
    monkeypatch.setattr(module, "PACKAGE", pristine)
    for room in ("objectives", "variants", "combiners"):
        (copy / "methods" / room / "mine.py").write_text("x = 1\n")
    before = {name: code_of(run) for name, run in RUNS.items()}
    monkeypatch.setattr(module, "PACKAGE", copy)
    assert {name: code_of(run) for name, run in RUNS.items()} == before
