"""What a stage's fingerprint sees of an edit: code, and only code that the stage uses."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

from baldro.grid import OBJECTIVES, Run, code_of, fingerprint

PACKAGE = Path(__file__).resolve().parents[2] / "baldro"
STAGES = {"data", "score", "metrics", "report"}
POINT = dict(benchmark="b", model="m", split="s")
RUNS = {
    objective: Run.of(**POINT, objective=objective) for objective, method in OBJECTIVES.items() if method.trains
} | {
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
        module = import_module("baldro.grid.fingerprint")  # by its name: in baldro.grid the function hides it
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
    assert changed("train.py", "", "") == set()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("journal.py", "import csv\n", "# a comment\nimport csv\n"),
        ("train.py", '"""The loop that', '"""A loop that'),
        ("train.py", "DROPOUT = 0, 1, 2", "DROPOUT = (\n    0,\n    1,\n    2,\n)"),
        ("robust/base.py", '    """1/n each."""\n', ""),
        ("robust/baldro_g.py", "1/k on the k hardest", "1/k on the first k"),
        ("combiners/blur.py", "whatever is retained", "always"),
        ("objectives/npo.py", "NPO's inverse temperature.", "Another sentence."),
        ("grid/declared.py", '"loss", "token_loss"', '"token_loss", "loss"'),
        ("objectives/npo.py", "* (stats.logp_B", "*   (stats.logp_B"),
        ("progress.py", "every: float = 5.0", "every: float = 9.0"),
        ("files.py", "token_hex(4)", "token_hex(8)"),
        ("lease.py", ">= 1:", ">= 2:"),
        ("cli/training.py", "RANK", "OTHER_RANK"),
        ("cli/finished.py", "finished.json", "other.json"),
        ("cli/main.py", "default=64", "default=32"),
        ("grid/experiment.py", "found: dict[Run, None] = {}", "found: dict[Run, None] = dict()"),
    ],
)
def test_words_layout_and_what_makes_no_numbers_change_nothing(changed, file, old, new):
    assert changed(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("train.py", "DROPOUT = 0, 1, 2", "DROPOUT = 0, 1, 3", TRAINED),
        ("robust/__init__.py", '"weights"]', '"weights"] + []', TRAINED),
        ("robust/base.py", "1 / len(losses_B)", "2 / len(losses_B)", PLAIN),
        ("robust/online.py", "/ dv_beta", "/ (2 * dv_beta)", TRAINED),
        ("robust/baldro_dv.py", "torch.softmax(exponents(", "torch.softmax(2 * exponents(", {"npo baldro-dv"}),
        ("robust/baldro_g.py", "+ 1e-9", "+ 1e-8", {"npo baldro-g"}),
        ("robust/cvar.py", "1e-9", "1e-8", {"ascent cvar", "npo retain cvar"}),
        ("robust/chi2.py", "0.5 *", "0.4 *", set()),
        ("combiners/__init__.py", "PIECE = 1 << 22", "PIECE = 1 << 21", TRAINED),
        ("combiners/sum.py", "gamma=gamma", "gamma=2 * gamma", SUMMED),
        ("combiners/blur.py", "gamma=gamma - lam", "gamma=gamma + lam", {"npo blur"}),
        ("combiners/blur_upper.py", "lam=lam - gamma", "lam=lam + gamma", {"npo blur-upper"}),
        ("combiners/uno.py", "factor = ratio", "factor = 2 * ratio", set()),
        ("combiners/dual.py", "max(lam + ", "max(lam - ", {"pdu"}),
        ("adapters/fila.py", "import ", "import math as _m\nimport ", {"npo lora", "finetune lora"}),
        ("objectives/__init__.py", ".sum(1)", ".mean(1)", TRAINED),
        ("objectives/npo.py", "-2 / npo_beta", "-3 / npo_beta", NPO),
        ("objectives/simnpo.py", "loss(", "loss_(", {"simnpo"}),
        ("objectives/satimp.py", "(1 - p_BT)", "(2 - p_BT)", {"satimp"}),
        ("objectives/wga.py", "] = 1.0", "] = 2.0", {"wga"}),
        ("objectives/_preference.py", "-2 / dpo_beta", "-3 / dpo_beta", {"altpo", "idkdpo"}),
        ("models/forward.py", "HEAD_ELEMENTS =", "HEAD_ELEMENTS = 1 +", TRAINED | {"score"}),
        ("score/generation.py", "import torch", "import math as _m\nimport torch", {"score"}),
        ("metrics/utility.py", "import ", "import math as _m\nimport ", {"metrics", "report"}),
        ("stats/paired.py", "import numpy", "import math as _m\nimport numpy", {"report"}),
        ("report/figures/tradeoff.py", "import ", "import math as _m\nimport ", {"report"}),
        ("data/fictional.py", "MOST = 400", "MOST = 300", {"data"}),
    ],
)
def test_an_edit_changes_the_stages_that_use_it_and_no_other(changed, file, old, new, what):
    assert changed(file, old, new) == what


def test_a_fingerprint_is_taken_once(monkeypatch):
    """A workflow asks for it in every job."""
    module, run = import_module("baldro.grid.fingerprint"), RUNS["npo"]
    before = code_of(run), fingerprint("score")
    monkeypatch.setattr(module, "imports", lambda path: pytest.fail(f"{path} is read again"))
    assert (code_of(run), fingerprint("score")) == before


def test_a_new_method_changes_no_run_that_there_was(pristine, tmp_path, monkeypatch):
    module, copy = import_module("baldro.grid.fingerprint"), shutil.copytree(pristine, tmp_path / "baldro")
    monkeypatch.setattr(module, "PACKAGE", pristine)
    for room in ("objectives", "robust", "combiners"):
        (copy / room / "mine.py").write_text("x = 1\n")
    before = {name: code_of(run) for name, run in RUNS.items()}
    monkeypatch.setattr(module, "PACKAGE", copy)
    assert {name: code_of(run) for name, run in RUNS.items()} == before
