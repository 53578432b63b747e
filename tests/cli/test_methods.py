"""`baldro methods`: every method a line, and the docstrings of one; the page in docs/ that is made from them."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from baldro.cli import main
from baldro.jobs.methods import ELSEWHERE
from baldro.methods import catalogue as grid
from baldro.runs import COMBINERS, FIELDS, OBJECTIVES, VARIANTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "methods.md"
ROOMS = {"objectives": OBJECTIVES, "variants": VARIANTS, "combiners": COMBINERS}
METHODS = {name: (room, m) for room, found in ROOMS.items() for name, m in found.items() if m.declared}


def told(capsys, *words: str) -> str:
    """What the verb prints."""
    assert main(["methods", *words]) == 0
    return capsys.readouterr().out


# The list, and one method ---------------------------------------------------------------------------------------------


def test_every_method_has_one_line_under_its_heading(capsys):
    text = told(capsys)
    assert max(map(len, text.splitlines())) <= 120
    for room, methods in ROOMS.items():
        own = (
            text.split(f"\n{room.capitalize()} (" if room != "objectives" else "Objectives (")[1]
            .split("\n\n")[0]
            .splitlines()[1:]
        )
        assert [line.split()[0] for line in own] == [name for name, method in methods.items() if method.declared]
        for line, method in zip(own, (m for m in methods.values() if m.declared), strict=True):
            needs = getattr(method, "needs", ())
            assert method.label in line and line.endswith(f"; needs {', '.join(needs)}" if needs else line)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_told_by_its_docstrings(capsys, name):
    room, method = METHODS[name]
    module = importlib.import_module(f"baldro.methods.{room}.{name.replace('-', '_')}")
    function = getattr(module, method.declared.function)
    text = told(capsys, name)
    for part in (inspect.getdoc(module), inspect.getdoc(function), *inspect.signature(function).parameters):
        assert part in text


# Names from elsewhere ------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    assert main(["methods", "unddial"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "'unddial'" in error and "mean undial?" in error


@pytest.mark.parametrize("name", ["UniErase", "guard", "LoKU", "kl minimisation", "drsatimp"])
def test_names_from_elsewhere_are_told(capsys, name):
    text = told(capsys, name)
    assert name.lower() in text.lower().partition(":")[0] and text.count("\n") == 1


def test_what_is_to_be_written_instead_is_there():
    words = {word.strip(".,;:()") for text in ELSEWHERE.values() for word in text.split()}
    names = {"idkdpo", "altpo", "ihl", "lora_start", "pdu", "dual", "graddiff", "retain_loss", "baldro-dv", "dv_level"}
    assert names <= words & {*METHODS, *FIELDS}
    assert not {name.lower() for name in ELSEWHERE if name not in ("PDU", "GradDiff")} & set(METHODS)


@pytest.mark.parametrize("words", [[], ["npo"], ["LoKU"]], ids=" ".join)
def test_torch_is_not_imported(tmp_path, words):
    code = f"import sys; from baldro.cli import main; main({['methods', *words]!r}); print({{'torch', 'transformers'}} & {{*sys.modules}})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert process.stdout.endswith("set()\n"), process.stdout + process.stderr


# The page ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator():
    """docs/generate/methods.py."""
    spec = importlib.util.spec_from_file_location("methods_page", ROOT / "docs" / "generate" / "methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say_now(generator):
    assert generator.page() == PAGE.read_text(), "renew it: python docs/generate/methods.py"


def test_the_page_has_every_method_with_formula_fields_and_needs():
    parts = re.split(r"^### (\S+)$", PAGE.read_text(), flags=re.MULTILINE)
    sections = {name: text.split("\n## ")[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert list(sections) == list(METHODS)
    for name, (_, method) in METHODS.items():
        text = sections[name]
        assert (
            method.declared.source in text and f"```text\n{method.declared.formula}\n```" in text and "- Cost: " in text
        )
        assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == list(method.declared.fields)
        assert all(f"[{need}](#what-objectives-need)" in text for need in getattr(method, "needs", ()))
    assert set(re.findall(r"^\| `(\w+)` \| (?:log|hidden|answers|other)", PAGE.read_text(), flags=re.MULTILINE)) == set(
        grid.NEEDS
    )
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_bounds_and_costs_by_hand(generator):
    """The passes themselves are compared with real steps in tests/plan/test_passes.py."""
    said = [generator.allowed(FIELDS[name]) for name in ("npo_beta", "lora_rank", "cvar_alpha", "retain_loss")]
    assert said == ["above 0", "whole, at least 1", "above 0, at most 1", "cross-entropy, kl, activations"]
    one = "1 forward and backward"
    assert generator.costs("objective", "altpo") == {"forget sample": "2 forward and backward", "retain sample": one}
    assert generator.costs("objective", "undial")["forget sample"] == f"{one}, 1 forward without gradients once a run"
    assert (
        generator.costs("variant", "cvar")["whole batch in one pass"]
        == "1 forward without gradients, 0.5 forward and backward"
    )
    assert generator.costs("combiner", "uno")["retain sample"] == f"{one}, 1 Hessian-vector product"


# The README ----------------------------------------------------------------------------------------------------------


def test_the_readme_names_every_method():
    chapter = (ROOT / "README.md").read_text().split("\n## What it can do\n")[1].split("\n## ")[0]
    for axis, room in (("objective", "objectives"), ("variant", "variants"), ("combiner", "combiners")):
        (row,) = (line for line in chapter.splitlines() if line.startswith(f"| `{axis}`"))
        there = {name for name, (of, _) in METHODS.items() if of == room}
        assert set(re.findall(r"`([a-z0-9-]+)`", row.split(" | ")[1])) == there


def test_the_readmes_objective_is_read_and_computes(tmp_path, monkeypatch):
    """Its example, as the file that it says it is."""
    import torch

    from baldro.methods import declared
    from baldro.methods.objectives import TokenStats

    (text,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "objectives" / "mine.py"
    path.parent.mkdir()
    path.write_text(text)
    monkeypatch.setattr(declared, "PACKAGE", tmp_path)
    (found,) = declared.declared.__wrapped__("objectives", "objective").values()
    assert (found.name, found.function, found.options) == ("mine", "token_loss", {"label": "Mine"})
    assert found.formula == "max(log p_t, -floor), per token (B, T)."
    assert found.fields["mine_floor"]["at_least"] == 0 and found.fields["mine_floor"]["text"].startswith("Nats")
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stats = TokenStats(mask_BT=torch.ones(1, 3, dtype=bool), logp_BT=torch.tensor([[-1.0, -5.0, -9.0]]))
    assert module.token_loss(stats).tolist() == [[-1.0, -5.0, -6.0]]
    assert module.token_loss(stats, mine_floor=2.0).tolist() == [[-1.0, -2.0, -2.0]]
