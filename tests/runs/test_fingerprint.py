"""What a stage's fingerprint sees of an edit: code, and only code that the stage uses."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

from baldro.runs import OBJECTIVES, Run, code_of, fingerprint

PACKAGE = Path(__file__).resolve().parents[2] / "baldro"
STAGES = {"benchmarks", "scoring", "metrics", "report"}
POINT = dict(benchmark="b", model="m", split="s")
RUNS = {objective: Run.of(**POINT, objective=objective) for objective in ("pretrain", "finetune", *OBJECTIVES)} | {
    "npo baldro-g": Run.of(**POINT, objective="npo", variant="baldro-g"),
    "npo baldro-dv": Run.of(**POINT, objective="npo", variant="baldro-dv"),
    "ascent cvar": Run.of(**POINT, objective="gradascent", variant="cvar"),
    "npo blur": Run.of(**POINT, objective="npo", combiner="blur"),
    "npo blur-upper": Run.of(**POINT, objective="npo", combiner="blur-upper"),
    "npo retain cvar": Run.of(**POINT, objective="npo", retain_variant="cvar", retain_normalisation="sample-mean"),
    "npo lora": Run.of(**POINT, objective="npo", lora_rank=4),
    "finetune lora": Run.of(**POINT, objective="finetune", lora_rank=4),
}
TRAINED = set(RUNS)
WITHOUT_LOSS = {name for name in RUNS if name.split()[0] in ("pretrain", "finetune")}
SUMMED = {name for name, run in RUNS.items() if run.combiner == "sum"}
PLAIN = {name for name, run in RUNS.items() if "base" in (run.variant, run.retain_variant)} - WITHOUT_LOSS
NPO = {name for name in RUNS if name.startswith("npo")}


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
        module = import_module("baldro.runs.fingerprint")  # by its name: in baldro.runs the function hides it
        monkeypatch.setattr(module, "PACKAGE", package)
        return {stage: fingerprint(stage) for stage in STAGES} | {name: code_of(run) for name, run in RUNS.items()}

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
        ("training/journal.py", "import csv\n", "# a comment\nimport csv\n"),
        ("training/loop.py", '"""The loop that', '"""A loop that'),
        ("training/loop.py", "DROPOUT = 0, 1, 2", "DROPOUT = (\n    0,\n    1,\n    2,\n)"),
        ("methods/variants/base.py", '    """1/n each."""\n', ""),
        ("methods/variants/baldro_g.py", "1/k on the k hardest", "1/k on the first k"),
        ("methods/combiners/blur.py", "whatever is retained", "always"),
        ("methods/objectives/npo.py", "NPO's inverse temperature.", "Another sentence."),
        ("methods/declared.py", '"loss", "token_loss"', '"token_loss", "loss"'),
        ("methods/objectives/npo.py", "* (stats.logp_B", "*   (stats.logp_B"),
        ("durable/progress.py", "every: float = 5.0", "every: float = 9.0"),
        ("durable/files.py", "token_hex(4)", "token_hex(8)"),
        ("durable/lease.py", ">= 1:", ">= 2:"),
        ("jobs/training.py", "RANK", "OTHER_RANK"),
        ("jobs/finished.py", "finished.json", "other.json"),
        ("cli/main.py", "default=64", "default=32"),
        ("runs/experiment.py", "found: dict[Run, None] = {}", "found: dict[Run, None] = dict()"),
    ],
)
def test_words_layout_and_what_makes_no_numbers_change_nothing(changed, file, old, new):
    assert changed(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("training/loop.py", "DROPOUT = 0, 1, 2", "DROPOUT = 0, 1, 3", TRAINED),
        ("methods/variants/__init__.py", '"weights"]', '"weights"] + []', TRAINED),
        ("methods/variants/base.py", "1 / len(losses_B)", "2 / len(losses_B)", PLAIN),
        ("methods/variants/online.py", "/ dv_beta", "/ (2 * dv_beta)", TRAINED),
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
        ("methods/objectives/__init__.py", ".sum(1)", ".mean(1)", TRAINED),
        ("methods/objectives/npo.py", "-2 / npo_beta", "-3 / npo_beta", NPO),
        ("methods/objectives/simnpo.py", "loss(", "loss_(", {"simnpo"}),
        ("methods/objectives/satimp.py", "(1 - p_BT)", "(2 - p_BT)", {"satimp"}),
        ("methods/objectives/wga.py", "] = 1.0", "] = 2.0", {"wga"}),
        ("methods/objectives/_preference.py", "-2 / dpo_beta", "-3 / dpo_beta", {"altpo", "idkdpo"}),
        ("models/forward.py", "HEAD_ELEMENTS =", "HEAD_ELEMENTS = 1 +", TRAINED | {"scoring"}),
        ("scoring/generation.py", "import torch", "import math as _m\nimport torch", {"scoring"}),
        ("metrics/utility.py", "import ", "import math as _m\nimport ", {"metrics", "report"}),
        ("stats/paired.py", "import numpy", "import math as _m\nimport numpy", {"report"}),
        ("report/figures/tradeoff.py", "import ", "import math as _m\nimport ", {"report"}),
        ("benchmarks/fictional.py", "MOST = 400", "MOST = 300", {"benchmarks"}),
    ],
)
def test_an_edit_changes_the_stages_that_use_it_and_no_other(changed, file, old, new, what):
    assert changed(file, old, new) == what


def test_a_fingerprint_is_taken_once(monkeypatch):
    """A workflow asks for it in every job."""
    module, run = import_module("baldro.runs.fingerprint"), RUNS["npo"]
    before = code_of(run), fingerprint("scoring")
    monkeypatch.setattr(module, "imports", lambda path: pytest.fail(f"{path} is read again"))
    assert (code_of(run), fingerprint("scoring")) == before


def test_a_new_method_changes_no_run_that_there_was(pristine, tmp_path, monkeypatch):
    module, copy = import_module("baldro.runs.fingerprint"), shutil.copytree(pristine, tmp_path / "baldro")
    monkeypatch.setattr(module, "PACKAGE", pristine)
    for room in ("objectives", "variants", "combiners"):
        (copy / "methods" / room / "mine.py").write_text("x = 1\n")
    before = {name: code_of(run) for name, run in RUNS.items()}
    monkeypatch.setattr(module, "PACKAGE", copy)
    assert {name: code_of(run) for name, run in RUNS.items()} == before
